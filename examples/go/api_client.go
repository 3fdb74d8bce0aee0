// api_client: calls to a slow service, at a bounded rate, each with a deadline, all of them in a larger one.
package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A limiter lets a burst through at once, and then one call every so often.
type limiter struct {
	tokens chan struct{}
	stop   func()
}

func newLimiter(every time.Duration, burst int) *limiter {
	ctx, cancel := context.WithCancel(context.Background())
	l := &limiter{make(chan struct{}, burst), cancel}
	for range burst {
		l.tokens <- struct{}{}
	}
	go func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				select {
				case l.tokens <- struct{}{}:
				default: // as many as may be saved up
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return l
}

func (l *limiter) wait(ctx context.Context) error {
	select {
	case <-l.tokens:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

type caller struct{}

var (
	errNotFound = errors.New("not found")
	latency     = map[string]time.Duration{
		"/users":  time.Millisecond,
		"/orders": 2 * time.Millisecond,
		"/report": time.Hour, // hangs
	}
)

// get is the service: it answers when it is ready, unless nobody waits any longer.
func get(ctx context.Context, path string) (string, error) {
	takes, known := latency[path]
	if !known {
		return "", errNotFound
	}
	select {
	case <-time.After(takes):
		return fmt.Sprint(path, " for ", ctx.Value(caller{})), nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// call asks the service once, when its turn comes, and waits for no longer than timeout.
func call(ctx context.Context, l *limiter, path string, timeout time.Duration) (string, error) {
	if err := l.wait(ctx); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return get(ctx, path)
}

func main() {
	ctx := context.WithValue(context.Background(), caller{}, "ada")
	ctx, cancel := context.WithCancelCause(ctx)
	start := time.Now()
	l := newLimiter(5*time.Millisecond, 2)
	defer l.stop()

	paths := []string{"/users", "/orders", "/nowhere", "/users", "/orders"}
	answers := make([]string, len(paths))
	var wg sync.WaitGroup
	for i, path := range paths {
		wg.Go(func() {
			answer, err := call(ctx, l, path, 10*time.Second)
			if err != nil {
				answer = "error: " + err.Error()
			}
			answers[i] = answer
		})
	}
	wg.Wait()
	for i, path := range paths {
		fmt.Println(path, "->", answers[i])
	}
	if time.Since(start) >= 3*5*time.Millisecond {
		fmt.Println("two at once, the other three one by one")
	}

	// One that hangs is given up after its own deadline.
	_, err := call(ctx, l, "/report", 20*time.Millisecond)
	fmt.Println("/report ->", err)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		fmt.Println("which is no concern of the others")
	}

	// When the whole is called off, calls that wait give up, too, and those to come do not even start.
	failed := make(chan error)
	go func() {
		_, err := call(ctx, l, "/report", time.Hour)
		failed <- err
	}()
	cancel(errors.New("ada went home"))
	if errors.Is(<-failed, context.Canceled) {
		fmt.Println("the call under way was given up")
	}
	<-ctx.Done()
	fmt.Println(ctx.Err(), "because", context.Cause(ctx))
	_, err = get(ctx, "/report")
	fmt.Println("/report ->", err)
}
