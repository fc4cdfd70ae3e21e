// A server of the bench on Go's net/http: small answers, large answers, and large requests that are read to their end.
// Usage: benchserver HOST:PORT
package main

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
)

func main() {
	big := bytes.Repeat([]byte("0123456789abcdef"), 65536)
	small := big[:1024]
	answer := func(w http.ResponseWriter, body []byte) {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.Write(body)
	}
	http.HandleFunc("/1k", func(w http.ResponseWriter, r *http.Request) { answer(w, small) })
	http.HandleFunc("/1m", func(w http.ResponseWriter, r *http.Request) { answer(w, big) })
	http.HandleFunc("/upload", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		answer(w, []byte("read\n"))
	})
	log.Fatal(http.ListenAndServe(os.Args[1], nil))
}
