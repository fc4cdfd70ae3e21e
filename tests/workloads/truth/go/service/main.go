// A truth service on Go's net/http. See tests/src/truth/services.rs for what it does. TRUTH_WAY says which goroutines make its calls:
// the handler's own (handler), one for each call (fanout), such that were started by one which makes none (middle), or workers of a
// pool that are handed the request's context (pool-context) or not (pool).
// Usage: service SERVICE PORT [NEXT…]
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"time"
)

var (
	name   = os.Args[1]
	next   = os.Args[3:]
	way    = os.Getenv("TRUTH_WAY")
	client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 512}}
)

// place is an address that the environment may name.
func place(variable string) string {
	if address := os.Getenv(variable); address != "" {
		return address
	}
	return "127.0.0.1"
}

// ask asks a service over a kept connection; whether it answered well.
func ask(ctx context.Context, port, path string) bool {
	request, err := http.NewRequestWithContext(ctx, "GET", "http://"+place("TRUTH_NEXT")+":"+port+path, nil)
	if err != nil {
		log.Fatal(err)
	}
	answer, err := client.Do(request)
	if err != nil {
		log.Print(err)
		return false
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return err == nil && answer.StatusCode == 200 && string(body) == "ok\n"
}

func habit(id string) int {
	sum := 0
	for _, each := range []byte(id) {
		sum += int(each)
	}
	return sum % 8
}

// A call that somebody is to make.
type call struct {
	ctx        context.Context
	port, path string
	well       chan bool
}

func (c call) make() { c.well <- ask(c.ctx, c.port, c.path) }

var pool = make(chan call, 1024)

func worker() {
	for c := range pool {
		c.make()
	}
}

// made has the call made, in the way that is asked for.
func made(ctx context.Context, port, path string) bool {
	none := context.Background()
	c := call{none, port, path, make(chan bool, 1)}
	switch way {
	case "fanout":
		go func() { c.well <- ask(none, port, path) }()
	case "middle":
		go func() {
			go func() { c.well <- ask(none, port, path) }()
		}()
	case "pool-context":
		c.ctx = ctx
		pool <- c
	case "pool":
		pool <- c
	default:
		return ask(none, port, path)
	}
	return <-c.well
}

func work(ctx context.Context, id string) bool {
	kind := habit(id)
	if kind == 0 {
		go ask(context.Background(), next[0], "/later/"+id)
	}
	if kind == 1 {
		time.Sleep(2 * time.Millisecond)
	}
	well := true
	for at, port := range next {
		well = made(ctx, port, fmt.Sprintf("/call/%s.%d", id, at)) && well
		if kind == 3 {
			time.Sleep(time.Millisecond)
		}
	}
	return well
}

func serve(w http.ResponseWriter, r *http.Request) {
	id := strings.TrimPrefix(r.URL.Path, "/call/")
	calls := id != r.URL.Path && len(next) > 0
	text := "ok\n"
	w.Header().Set("Content-Length", "3")
	if calls && !work(r.Context(), id) {
		w.WriteHeader(http.StatusBadGateway)
		text = "no\n"
	}
	io.WriteString(w, text)
	if calls && habit(id) == 4 {
		w.(http.Flusher).Flush()
		ask(context.Background(), next[0], "/after/"+id)
	}
}

func timer() {
	for number := 0; ; number++ {
		time.Sleep(20 * time.Millisecond)
		ask(context.Background(), next[0], fmt.Sprintf("/timer/%s.%d", name, number))
	}
}

func main() {
	if len(next) > 0 {
		go timer()
	}
	for i := 0; i < 16; i++ {
		go worker()
	}
	log.Fatal(http.ListenAndServe(place("TRUTH_HERE")+":"+os.Args[2], http.HandlerFunc(serve)))
}
