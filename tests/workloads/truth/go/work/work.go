// Package work is what every truth service on Go does for a request, whoever serves it: see tests/src/truth/services.rs. TRUTH_WAY
// says which goroutines make its calls: the handler's own (handler), one for each call (fanout), such that were started by one which
// makes none (middle), or workers of a pool that are handed the request's context (pool-context) or not (pool).
package work

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
	name = os.Args[1]
	next = os.Args[3:]
	way  = os.Getenv("TRUTH_WAY")
)

// Transport has one pool of connections for the whole process.
var Transport = &http.Transport{MaxIdleConnsPerHost: 512}

// Client is what asks.
var Client = &http.Client{Transport: Transport}

// Ask asks over a kept connection: the status and the body. A program with another client puts that here.
var Ask = func(ctx context.Context, url string) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return 0, nil, err
	}
	answer, err := Client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return answer.StatusCode, body, err
}

// Beside is what a service does before its calls, between them and after the last.
var Beside = func(context.Context) error { return nil }

// Address is where the service listens.
func Address() string { return place("TRUTH_HERE") + ":" + os.Args[2] }

// place is an address that the environment may name.
func place(variable string) string {
	if address := os.Getenv(variable); address != "" {
		return address
	}
	return "127.0.0.1"
}

// ask asks a service; whether it answered well.
func ask(ctx context.Context, port, path string) bool {
	status, body, err := Ask(ctx, "http://"+place("TRUTH_NEXT")+":"+port+path)
	if err != nil {
		log.Print(err)
	}
	return err == nil && status == 200 && string(body) == "ok\n"
}

func beside(ctx context.Context) bool {
	err := Beside(ctx)
	if err != nil {
		log.Print(err)
	}
	return err == nil
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
	well := beside(ctx)
	for at, port := range next {
		well = made(ctx, port, fmt.Sprintf("/call/%s.%d", id, at)) && beside(ctx) && well
		if kind == 3 {
			time.Sleep(time.Millisecond)
		}
	}
	return well
}

// Reply is what is answered to a request.
type Reply struct {
	Status int
	Text   string
	// After is what is still done once the answer is out; nil if nothing is.
	After func()
}

// For does what a request's path asks for.
func For(ctx context.Context, path string) Reply {
	id := strings.TrimPrefix(path, "/call/")
	if id == path || len(next) == 0 {
		return Reply{200, "ok\n", nil}
	}
	if !work(ctx, id) {
		return Reply{502, "no\n", nil}
	}
	reply := Reply{200, "ok\n", nil}
	if habit(id) == 4 {
		reply.After = func() { ask(context.Background(), next[0], "/after/"+id) }
	}
	return reply
}

// Serve answers by net/http. Over HTTP/2 an answer ends with its handler: nothing is after it.
func Serve(w http.ResponseWriter, r *http.Request) {
	reply := For(r.Context(), r.URL.Path)
	w.Header().Set("Content-Length", "3")
	w.WriteHeader(reply.Status)
	io.WriteString(w, reply.Text)
	if reply.After != nil && r.ProtoMajor == 1 {
		w.(http.Flusher).Flush()
		reply.After()
	}
}

func timer() {
	for number := 0; ; number++ {
		time.Sleep(20 * time.Millisecond)
		ask(context.Background(), next[0], fmt.Sprintf("/timer/%s.%d", name, number))
	}
}

// Begin starts the timer and the workers.
func Begin() {
	if len(next) > 0 {
		go timer()
	}
	for i := 0; i < 16; i++ {
		go worker()
	}
}
