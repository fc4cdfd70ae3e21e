// A truth service on Go's net/http: see the package work for what it does.
// Usage: service SERVICE PORT [NEXT…]
package main

import (
	"log"
	"net/http"

	"spanwire.test/truth/work"
)

func main() {
	work.Begin()
	log.Fatal(http.ListenAndServe(work.Address(), http.HandlerFunc(work.Serve)))
}
