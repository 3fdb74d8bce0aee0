// power_series: series without end as channels of their coefficients, after M. Douglas McIlroy's "Squinting at
// Power Series" and Rob Pike's programs for it.
//
// A series is a channel on which its coefficients come, each when somebody asks for it. Operations are
// goroutines that read series and are series; an equation like exp' = exp is a loop of channels.
package main

import (
	"fmt"
	"math/big"
)

type series <-chan *big.Rat

func rat(n int64) *big.Rat { return big.NewRat(n, 1) }

// start makes a series of what body sends.
func start(body func(out chan<- *big.Rat)) series {
	out := make(chan *big.Rat)
	go body(out)
	return out
}

func forward(f series, out chan<- *big.Rat) {
	for c := range f {
		out <- c
	}
}

// constant is c, and then zeros for ever.
func constant(c *big.Rat) series {
	return start(func(out chan<- *big.Rat) {
		out <- c
		for {
			out <- rat(0)
		}
	})
}

// tee makes two series of one. Each keeps for the slower reader what the faster one has had.
func tee(f series) (series, series) {
	sides := [2]chan *big.Rat{make(chan *big.Rat), make(chan *big.Rat)}
	go func() {
		var left, right []*big.Rat
		for {
			// A nil channel is never ready: the cases that must not run are out.
			var in series
			var a, b chan *big.Rat
			var firstLeft, firstRight *big.Rat
			if len(left) > 0 {
				a, firstLeft = sides[0], left[0]
			}
			if len(right) > 0 {
				b, firstRight = sides[1], right[0]
			}
			if a == nil || b == nil {
				in = f
			}
			select {
			case c := <-in:
				left = append(left, c)
				right = append(right, c)
			case a <- firstLeft:
				left = left[1:]
			case b <- firstRight:
				right = right[1:]
			}
		}
	}()
	return sides[0], sides[1]
}

// loop makes the series that body defines in terms of itself.
func loop(body func(itself series) series) series {
	circle := make(chan *big.Rat)
	out, back := tee(circle)
	go forward(body(back), circle)
	return out
}

func add(f, g series) series {
	return start(func(out chan<- *big.Rat) {
		for {
			out <- new(big.Rat).Add(<-f, <-g)
		}
	})
}

func scale(factor *big.Rat, f series) series {
	return start(func(out chan<- *big.Rat) {
		for c := range f {
			out <- new(big.Rat).Mul(factor, c)
		}
	})
}

// shift is c + x f.
func shift(c *big.Rat, f series) series {
	return start(func(out chan<- *big.Rat) {
		out <- c
		forward(f, out)
	})
}

// multiply uses (f0 + x F)(g0 + x G) = f0 g0 + x (f0 G + g0 F + x F G).
func multiply(f, g series) series {
	return start(func(out chan<- *big.Rat) {
		f0, g0 := <-f, <-g
		out <- new(big.Rat).Mul(f0, g0)
		fa, fb := tee(f)
		ga, gb := tee(g)
		forward(add(add(scale(f0, ga), scale(g0, fa)), shift(rat(0), multiply(fb, gb))), out)
	})
}

func derive(f series) series {
	return start(func(out chan<- *big.Rat) {
		<-f
		for n := int64(1); ; n++ {
			out <- new(big.Rat).Mul(rat(n), <-f)
		}
	})
}

// integrate is the integral of f whose constant is c, which comes before anything is asked of f.
func integrate(c *big.Rat, f series) series {
	return start(func(out chan<- *big.Rat) {
		out <- c
		for n := int64(1); ; n++ {
			out <- new(big.Rat).Quo(<-f, rat(n))
		}
	})
}

// reciprocal uses 1/f = 1/f0 - x (1/f0) F (1/f), where f = f0 + x F.
func reciprocal(f series) series {
	return loop(func(r series) series {
		return start(func(out chan<- *big.Rat) {
			r0 := new(big.Rat).Inv(<-f)
			out <- r0
			forward(scale(new(big.Rat).Neg(r0), multiply(f, r)), out)
		})
	})
}

// exponential is the one whose derivative is itself times f'.
func exponential(f series) series {
	return loop(func(e series) series { return integrate(rat(1), multiply(e, derive(f))) })
}

// sineAndCosine are each other's derivatives, but for the sign.
func sineAndCosine() (series, series) {
	var cosine series
	sine := loop(func(s series) series {
		minus := add(constant(rat(1)), scale(rat(-1), integrate(rat(0), s)))
		var back series
		cosine, back = tee(minus)
		return integrate(rat(0), back)
	})
	return sine, cosine
}

func show(name string, f series) {
	fmt.Print(name, ":")
	for range 10 {
		fmt.Print(" ", (<-f).RatString())
	}
	fmt.Println()
}

func x() series { return shift(rat(0), constant(rat(1))) }

func main() {
	oneMinusX := func() series { return add(constant(rat(1)), scale(rat(-1), x())) }
	show("1/(1-x)", reciprocal(oneMinusX()))
	show("1/(1-x)^2", reciprocal(multiply(oneMinusX(), oneMinusX())))
	show("log 1/(1-x)", integrate(rat(0), reciprocal(oneMinusX())))
	show("exp x", exponential(x()))

	sine, cosine := sineAndCosine()
	sine, s := tee(sine)
	cosine, c := tee(cosine)
	show("sin x", s)
	show("cos x", c)
	show("tan x", multiply(sine, reciprocal(cosine)))

	sine, cosine = sineAndCosine()
	sa, sb := tee(sine)
	ca, cb := tee(cosine)
	show("sin^2 + cos^2", add(multiply(sa, sb), multiply(ca, cb)))
	sine, _ = sineAndCosine()
	show("exp sin x", exponential(sine))
}
