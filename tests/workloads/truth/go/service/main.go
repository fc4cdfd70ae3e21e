// A truth service on Go's net/http. See tests/src/truth/services.rs for what it does.
// Usage: service SERVICE PORT [NEXT…]
package main

import (
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
func ask(port, path string) bool {
	answer, err := client.Get("http://" + place("TRUTH_NEXT") + ":" + port + path)
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

func work(id string) bool {
	kind := habit(id)
	if kind == 0 {
		go ask(next[0], "/later/"+id)
	}
	if kind == 1 {
		time.Sleep(2 * time.Millisecond)
	}
	well := true
	for at, port := range next {
		well = ask(port, fmt.Sprintf("/call/%s.%d", id, at)) && well
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
	if calls && !work(id) {
		w.WriteHeader(http.StatusBadGateway)
		text = "no\n"
	}
	io.WriteString(w, text)
	if calls && habit(id) == 4 {
		w.(http.Flusher).Flush()
		ask(next[0], "/after/"+id)
	}
}

func timer() {
	for number := 0; ; number++ {
		time.Sleep(20 * time.Millisecond)
		ask(next[0], fmt.Sprintf("/timer/%s.%d", name, number))
	}
}

func main() {
	if len(next) > 0 {
		go timer()
	}
	log.Fatal(http.ListenAndServe(place("TRUTH_HERE")+":"+os.Args[2], http.HandlerFunc(serve)))
}
