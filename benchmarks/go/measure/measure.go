// Package measure times a workload and prints the result, as benchmarks/child.py does for the Python versions.
package measure

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"strings"
	"time"
)

// Unit says how the total over n operations becomes one number.
type Unit int

const (
	NS    Unit = iota // the total is in seconds
	Bytes             // the total is in bytes
	Ratio             // the total is the number
)

// Time measures f, which does something n times, n being a multiple of step, and returns how long that took.
func Time(step int, f func(n int) time.Duration) {
	Run(step, []Unit{NS}, func(n int) []float64 { return []float64{f(n).Seconds()} })
}

// Run measures f, which does something n times and returns one total for each unit.
func Run(step int, units []Unit, f func(n int) []float64) {
	n := flag.Int("n", 0, "operations in one go; 0: as many as take long enough")
	ms := flag.Float64("ms", 100, "how long to measure at least")
	cold := flag.Bool("cold", false, "measure a single go, after a tiny warm-up")
	flag.Parse()

	var totals []float64
	count := *n
	switch {
	case *cold:
		if *n > 1 {
			f(max(step, min(*n/10, 100)))
		}
		totals = f(*n)
	case *n > 0:
		totals, count = repeated(f, *n, *ms/1e3)
	default:
		totals, count = calibrated(f, step, *ms/1e3)
	}
	values := make([]float64, len(units))
	for i, unit := range units {
		values[i] = map[Unit]float64{
			NS: totals[i] / float64(count) * 1e9, Bytes: totals[i] / float64(count), Ratio: totals[i],
		}[unit]
	}
	line, err := json.Marshal(map[string]any{"values": values, "n": count})
	if err != nil {
		panic(err)
	}
	fmt.Println(string(line))
}

func calibrated(f func(int) []float64, step int, seconds float64) ([]float64, int) {
	roundUp := func(n float64) int { return step * int(math.Ceil(n/float64(step))) }
	n := roundUp(100)
	for {
		totals := f(n)
		if totals[0] >= seconds {
			return totals, n
		}
		growth := min(1.25*seconds/max(totals[0], 1e-9), 100)
		n = roundUp(float64(n) * max(growth, 1.5))
	}
}

func repeated(f func(int) []float64, n int, seconds float64) ([]float64, int) {
	f(n)
	sums, count := f(n), n
	for sums[0] < seconds {
		for i, total := range f(n) {
			sums[i] += total
		}
		count += n
	}
	return sums, count
}

// Resident returns the resident bytes of this process, by a look at every page: the kernel's running count may
// be off by 100 KB. Peak returns the most that there ever were.
func Resident() float64 { return kilobytes("/proc/self/smaps_rollup", "Rss:") }
func Peak() float64     { return kilobytes("/proc/self/status", "VmHWM:") }

func kilobytes(path, key string) float64 {
	text, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	_, rest, _ := strings.Cut(string(text), key)
	var size float64
	if _, err := fmt.Sscan(rest, &size); err != nil {
		panic(err)
	}
	return size * 1024
}
