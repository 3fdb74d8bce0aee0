// merge_sort: halves are sorted by goroutines of their own, down to a size that is not worth one.
package main

import "fmt"

// numbers makes the same n numbers each time, which look random.
func numbers(n int) []uint32 {
	list := make([]uint32, n)
	state := uint32(2026)
	for i := range list {
		state = state*1664525 + 1013904223
		list[i] = state >> 8
	}
	return list
}

func merge(left, right []uint32) []uint32 {
	merged := make([]uint32, 0, len(left)+len(right))
	i, j := 0, 0
	for i < len(left) && j < len(right) {
		if left[i] <= right[j] {
			merged = append(merged, left[i])
			i++
		} else {
			merged = append(merged, right[j])
			j++
		}
	}
	merged = append(merged, left[i:]...)
	return append(merged, right[j:]...)
}

// mergeSort splits the work between two goroutines, this one and another, as long as depth is left.
func mergeSort(list []uint32, depth int) []uint32 {
	if len(list) < 2 {
		return list
	}
	middle := len(list) / 2
	if depth == 0 {
		return merge(mergeSort(list[:middle], 0), mergeSort(list[middle:], 0))
	}
	left := make(chan []uint32, 1)
	go func() { left <- mergeSort(list[:middle], depth-1) }()
	right := mergeSort(list[middle:], depth-1)
	return merge(<-left, right)
}

func main() {
	list := numbers(10_000)
	var before, after uint64
	for _, number := range list {
		before += uint64(number)
	}

	sorted := mergeSort(list, 4)
	inOrder := true
	for i, number := range sorted {
		after += uint64(number)
		if i > 0 && sorted[i-1] > number {
			inOrder = false
		}
	}
	fmt.Println("first:", list[0], list[1], list[2])
	fmt.Println("smallest:", sorted[0], sorted[1], sorted[2])
	fmt.Println("largest:", sorted[len(sorted)-1])
	if inOrder && len(sorted) == len(list) && before == after {
		fmt.Println(len(sorted), "numbers in order, none lost")
	}
}
