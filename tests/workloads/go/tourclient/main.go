// The tour's client on Go's net/http: all requests on one kept connection.
// Usage: tourclient HOST:PORT METHOD:PATH[:BODY_LENGTH]...
package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
)

func main() {
	if begins := os.Getenv("BEGINS"); begins != "" {
		// A pipe: whoever must know of this process first writes to it.
		if _, err := os.ReadFile(begins); err != nil {
			log.Fatal(err)
		}
	}
	for _, request := range os.Args[2:] {
		parts := strings.Split(request, ":")
		var body io.Reader
		if len(parts) > 2 {
			length, _ := strconv.Atoi(parts[2])
			body = strings.NewReader(strings.Repeat("0123456789", length)[:length])
		}
		asked, err := http.NewRequest(parts[0], "http://"+os.Args[1]+parts[1], body)
		if err != nil {
			log.Fatal(err)
		}
		asked.Header.Set("User-Agent", "tour/1")
		answer, err := http.DefaultClient.Do(asked)
		if err != nil {
			log.Fatal(err)
		}
		content, err := io.ReadAll(answer.Body)
		if err != nil {
			log.Fatal(err)
		}
		answer.Body.Close()
		fmt.Printf("%s %s %d %d %x\n", parts[0], parts[1], answer.StatusCode, len(content), sha256.Sum256(content))
	}
}
