// The tour's server on Go's net/http.
// Usage: tourserver HOST:PORT
package main

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
)

func fixed(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body)
}

func main() {
	big := bytes.Repeat([]byte("0123456789abcdef"), 65536)
	http.HandleFunc("/hello", func(w http.ResponseWriter, r *http.Request) { fixed(w, 200, []byte("hello\n")) })
	http.HandleFunc("/big", func(w http.ResponseWriter, r *http.Request) { fixed(w, 200, big) })
	http.HandleFunc("/fail", func(w http.ResponseWriter, r *http.Request) { fixed(w, 500, []byte("failed\n")) })
	http.HandleFunc("/empty", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) })
	http.HandleFunc("/cached", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(304) })
	http.HandleFunc("/chunked", func(w http.ResponseWriter, r *http.Request) {
		for _, piece := range []string{"one, ", "two, ", "three\n"} {
			io.WriteString(w, piece)
			w.(http.Flusher).Flush()
		}
	})
	http.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fixed(w, 200, body)
	})
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fixed(w, 404, []byte("missing\n")) })
	log.Fatal(http.ListenAndServe(os.Args[1], nil))
}
