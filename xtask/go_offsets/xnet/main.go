// A program with both sides of the HTTP/2 of golang.org/x/net in it, whose layouts the agent must know: built with each of its releases,
// never run.
package main

import (
	"net/http"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"
)

func main() {
	transport := &http2.Transport{AllowHTTP: true}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answer, err := transport.RoundTrip(r); err == nil {
			answer.Body.Close()
		}
	})
	http.ListenAndServe("127.0.0.1:0", h2c.NewHandler(handler, &http2.Server{}))
}
