// A service of the bench on Go's net/http that makes a call for each request, and whom it calls.
// Usage: benchcaller HOST:PORT [NEXT]
//
//	/none     answers
//	/call     asks NEXT, on a connection of the client's pool
//	/write    asks NEXT, on a connection that the handler's own goroutine writes to
//	/written  how long the writes of /write took since this was last asked: ns, and how many
package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// More connections than requests are ever under way.
const kept = 64

// A connection that is written to by hand.
type connection struct {
	net.Conn
	answers *bufio.Reader
}

var (
	client        = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: kept}}
	idle          = make(chan connection, kept)
	nanos, writes atomic.Int64
)

func main() {
	answer := func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }
	http.HandleFunc("/none", answer)
	if len(os.Args) > 2 {
		next := os.Args[2]
		request := []byte("GET /none HTTP/1.1\r\nHost: " + next + "\r\n\r\n")
		http.HandleFunc("/call", after(answer, func() error { return call("http://" + next + "/none") }))
		http.HandleFunc("/write", after(answer, func() error { return write(next, request) }))
	}
	http.HandleFunc("/written", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%d %d", nanos.Swap(0), writes.Swap(0))
	})
	log.Fatal(http.ListenAndServe(os.Args[1], nil))
}

// after answers once something is done.
func after(answer http.HandlerFunc, do func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := do(); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		answer(w, r)
	}
}

func call(url string) error {
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

func write(address string, request []byte) error {
	c, err := taken(address)
	if err != nil {
		return err
	}
	began := time.Now()
	_, err = c.Write(request)
	nanos.Add(time.Since(began).Nanoseconds())
	writes.Add(1)
	if err != nil {
		return err
	}
	response, err := http.ReadResponse(c.answers, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err = io.Copy(io.Discard, response.Body); err == nil {
		idle <- c
	}
	return err
}

func taken(address string) (connection, error) {
	select {
	case c := <-idle:
		return c, nil
	default:
		made, err := net.Dial("tcp", address)
		return connection{made, bufio.NewReader(made)}, err
	}
}
