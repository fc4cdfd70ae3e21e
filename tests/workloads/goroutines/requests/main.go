// Requests that are served by many goroutines, in each of the ways that goroutines are put to work. A request's number stands in
// its path and in that of every call made for it, so that it is known whose each call is.
//
// Usage: requests serve HOST:PORT DOWNSTREAM    /WAY/NUMBER
//
//	requests downstream HOST:PORT          answers after a while
//	requests load HOST:PORT WAY CONCURRENCY COUNT FIRST
package main

import (
	"bufio"
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

func main() {
	switch os.Args[1] {
	case "serve":
		serve(os.Args[2], os.Args[3])
	case "downstream":
		downstream(os.Args[2])
	case "load":
		load()
	}
}

func downstream(address string) {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Duration(500+rand.Intn(3000)) * time.Microsecond)
		io.WriteString(w, "ok")
	})
	log.Fatal(http.ListenAndServe(address, nil))
}

func load() {
	address, way := os.Args[2], os.Args[3]
	concurrency, _ := strconv.Atoi(os.Args[4])
	count, _ := strconv.Atoi(os.Args[5])
	first, _ := strconv.Atoi(os.Args[6])
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: concurrency}}
	var next, failed int64
	var all sync.WaitGroup
	for i := 0; i < concurrency; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for {
				number := int(atomic.AddInt64(&next, 1)) - 1
				if number >= count {
					return
				}
				answer, err := ask(client, way, fmt.Sprintf("http://%s/%s/%d", address, way, first+number))
				if err != nil {
					atomic.AddInt64(&failed, 1)
					continue
				}
				io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
				if answer.StatusCode != 200 {
					atomic.AddInt64(&failed, 1)
				}
			}
		}()
	}
	all.Wait()
	fmt.Println("failed", failed)
}

// Asks; the way "body" with one that arrives late and in parts.
func ask(client *http.Client, way, url string) (*http.Response, error) {
	if way != "body" {
		return client.Get(url)
	}
	reader, writer := io.Pipe()
	go func() {
		for i := 0; i < 3; i++ {
			time.Sleep(time.Millisecond)
			io.WriteString(writer, strings.Repeat("0123456789abcdef", 64))
		}
		writer.Close()
	}()
	return client.Post(url, "text/plain", reader)
}

// A piece of work that is handed over.
type job struct {
	number  string
	context context.Context
	done    chan struct{}
}

type server struct {
	downstream string
	client     *http.Client
}

func (s *server) call(context context.Context, number string) {
	request, err := http.NewRequestWithContext(context, "GET", "http://"+s.downstream+"/call/"+number, nil)
	if err != nil {
		return
	}
	if answer, err := s.client.Do(request); err == nil {
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	}
}

// A context that keeps whoever asks when it is done waiting: the goroutine that wants a request written asks between handing it over and
// waiting for it (net/http before Go 1.23), so that it is written before anybody waits.
type tardy struct{ context.Context }

func (t tardy) Done() <-chan struct{} {
	time.Sleep(100 * time.Microsecond)
	return t.Context.Done()
}

func number(r *http.Request) string {
	return strings.Split(r.URL.Path, "/")[2]
}

func serve(address, downstream string) {
	s := &server{downstream, &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	none := context.Background()
	way := func(name string, serve http.HandlerFunc) { http.HandleFunc("/"+name+"/", serve) }

	// The handler itself calls.
	way("handler", func(w http.ResponseWriter, r *http.Request) {
		s.call(none, number(r))
		io.WriteString(w, "ok")
	})
	// The handler itself calls, and waits for its call later than that is written.
	way("tardy", func(w http.ResponseWriter, r *http.Request) {
		s.call(tardy{none}, number(r))
		io.WriteString(w, "ok")
	})
	// Three goroutines at once.
	way("fanout", func(w http.ResponseWriter, r *http.Request) {
		var all sync.WaitGroup
		for i := 0; i < 3; i++ {
			all.Add(1)
			go func() { defer all.Done(); s.call(none, number(r)) }()
		}
		all.Wait()
		io.WriteString(w, "ok")
	})
	// The same by an errgroup with a limit.
	way("errgroup", func(w http.ResponseWriter, r *http.Request) {
		var all errgroup.Group
		all.SetLimit(2)
		for i := 0; i < 3; i++ {
			all.Go(func() error { s.call(none, number(r)); return nil })
		}
		all.Wait()
		io.WriteString(w, "ok")
	})
	// A connection for each call.
	dials := &server{downstream, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	way("dials", func(w http.ResponseWriter, r *http.Request) {
		dials.call(none, number(r))
		io.WriteString(w, "ok")
	})
	// A request whose body comes late: once it is read, another goroutine waits for what the connection brings next.
	way("body", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		s.call(none, number(r))
		io.WriteString(w, "ok")
	})
	// Objects that one request leaves to the next.
	pooled := sync.Pool{New: func() interface{} { return &job{} }}
	way("pooled", func(w http.ResponseWriter, r *http.Request) {
		j := pooled.Get().(*job)
		j.number, j.context, j.done = number(r), none, make(chan struct{})
		go func() { s.call(j.context, j.number); close(j.done) }()
		<-j.done
		pooled.Put(j)
		io.WriteString(w, "ok")
	})
	// The goroutine between the handler and those that call makes no call of its own.
	way("silent", func(w http.ResponseWriter, r *http.Request) {
		var all sync.WaitGroup
		all.Add(2)
		go func() {
			for i := 0; i < 2; i++ {
				go func() { defer all.Done(); s.call(none, number(r)) }()
			}
		}()
		all.Wait()
		io.WriteString(w, "ok")
	})
	// A request that is written as database drivers write: by whoever wants it, on a connection of database/sql's pool, of which there
	// are fewer than handlers.
	sql.Register("http", asker{})
	db, err := sql.Open("http", downstream)
	if err != nil {
		log.Fatal(err)
	}
	db.SetMaxOpenConns(8)
	way("sql", func(w http.ResponseWriter, r *http.Request) {
		if _, err := db.ExecContext(r.Context(), "/call/"+number(r)); err != nil {
			w.WriteHeader(http.StatusBadGateway)
		}
		io.WriteString(w, "ok")
	})
	// Workers that receive work with the request's context, and without.
	jobs := make(chan *job, 64)
	for i := 0; i < 4; i++ {
		go s.worker(jobs)
	}
	hand := func(c func(r *http.Request) context.Context) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			j := &job{number(r), c(r), make(chan struct{}, 1)}
			jobs <- j
			<-j.done
			io.WriteString(w, "ok")
		}
	}
	way("pool-context", hand(func(r *http.Request) context.Context { return r.Context() }))
	way("pool-derived", hand(func(r *http.Request) context.Context {
		derived, cancel := context.WithTimeout(context.WithValue(r.Context(), key{}, 1), time.Minute)
		_ = cancel
		return derived
	}))
	way("pool", hand(func(r *http.Request) context.Context { return none }))
	// The same number is sent for each request; which of them is worked for stands elsewhere, and not in that order.
	var (
		listed sync.Mutex
		list   []*job
	)
	tokens := make(chan int, 64)
	for i := 0; i < 4; i++ {
		go func() {
			for token := range tokens {
				if token != 7 {
					log.Fatal("another number was received")
				}
				listed.Lock()
				j := list[len(list)-1]
				list = list[:len(list)-1]
				listed.Unlock()
				s.call(j.context, j.number)
				j.done <- struct{}{}
			}
		}()
	}
	way("pool-equal", func(w http.ResponseWriter, r *http.Request) {
		j := &job{number(r), none, make(chan struct{}, 1)}
		listed.Lock()
		list = append(list, j)
		listed.Unlock()
		tokens <- 7
		<-j.done
		io.WriteString(w, "ok")
	})
	// A sender that the first request starts, and that then sends for all: what clients of message brokers do.
	way("lazy", s.lazily(s.worker))
	// The same, where the sender's receive is hidden in another function.
	way("lazy-hidden", s.lazily(s.hidden))
	// A goroutine that works off a list until that is empty, and ends; whoever finds none running starts one.
	var drain drain
	drain.server = s
	way("drain", func(w http.ResponseWriter, r *http.Request) {
		j := &job{number(r), none, make(chan struct{}, 1)}
		drain.add(j)
		<-j.done
		io.WriteString(w, "ok")
	})
	// Work that goes on after the answer.
	way("late", func(w http.ResponseWriter, r *http.Request) {
		n := number(r)
		go func() { time.Sleep(3 * time.Millisecond); s.call(none, n) }()
		go func() { s.call(none, n) }()
		io.WriteString(w, "ok")
	})
	// A timer of the request.
	way("timer", func(w http.ResponseWriter, r *http.Request) {
		done := make(chan struct{})
		time.AfterFunc(time.Millisecond, func() { s.call(none, number(r)); close(done) })
		<-done
		io.WriteString(w, "ok")
	})
	// A handler with a time limit runs in a goroutine of its own.
	limited := http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.call(none, number(r))
		io.WriteString(w, "ok")
	}), time.Minute, "late")
	way("limited", limited.ServeHTTP)
	// A call that is given up.
	way("cancelled", func(w http.ResponseWriter, r *http.Request) {
		short, cancel := context.WithTimeout(r.Context(), time.Millisecond)
		defer cancel()
		s.call(short, number(r))
		io.WriteString(w, "ok")
	})
	// A call with a body that is longer than one write.
	way("upload", func(w http.ResponseWriter, r *http.Request) {
		body := strings.NewReader(strings.Repeat("0123456789abcdef", 4096))
		answer, err := s.client.Post("http://"+s.downstream+"/call/"+number(r), "text/plain", body)
		if err == nil {
			io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
		}
		io.WriteString(w, "ok")
	})
	// A connection that its handler takes over.
	way("hijacked", func(w http.ResponseWriter, r *http.Request) {
		connection, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		s.call(none, number(r))
		io.WriteString(connection, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
		connection.Close()
	})
	// A reverse proxy.
	target, _ := url.Parse("http://" + downstream)
	proxy := &httputil.ReverseProxy{Director: func(r *http.Request) {
		r.URL.Scheme, r.URL.Host = target.Scheme, target.Host
		r.URL.Path = "/call/" + number(r)
	}, Transport: s.client.Transport}
	way("proxy", proxy.ServeHTTP)
	log.Fatal(http.ListenAndServe(address, nil))
}

// A driver of database/sql whose statements are paths, and are executed by a request.
type asker struct{}

type connection struct {
	net.Conn
	answers *bufio.Reader
}

type statement struct {
	connection *connection
	path       string
}

func (asker) Open(address string) (driver.Conn, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &connection{conn, bufio.NewReader(conn)}, nil
}

func (c *connection) Begin() (driver.Tx, error) { return nil, driver.ErrSkip }

func (c *connection) Prepare(path string) (driver.Stmt, error) { return statement{c, path}, nil }

func (statement) Close() error { return nil }

func (statement) NumInput() int { return 0 }

func (statement) Query([]driver.Value) (driver.Rows, error) { return nil, driver.ErrSkip }

func (s statement) Exec([]driver.Value) (driver.Result, error) {
	request := "GET " + s.path + " HTTP/1.1\r\nHost: downstream\r\n\r\n"
	if _, err := io.WriteString(s.connection, request); err != nil {
		return nil, err
	}
	answer, err := http.ReadResponse(s.connection.answers, nil)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return driver.ResultNoRows, err
}

type key struct{}

func (s *server) worker(jobs chan *job) {
	for j := range jobs {
		s.call(j.context, j.number)
		j.done <- struct{}{}
	}
}

func (s *server) hidden(jobs chan *job) {
	for {
		j := receive(jobs)
		if j == nil {
			return
		}
		s.call(j.context, j.number)
		j.done <- struct{}{}
	}
}

//go:noinline
func receive(jobs chan *job) *job {
	return <-jobs
}

// Starts a new sender every fifty requests; the request that starts one stays busy for a while.
func (s *server) lazily(sender func(chan *job)) http.HandlerFunc {
	var mutex sync.Mutex
	var jobs chan *job
	requests := 0
	return func(w http.ResponseWriter, r *http.Request) {
		mutex.Lock()
		started := false
		if requests++; jobs == nil || requests%50 == 0 {
			if jobs != nil {
				close(jobs)
			}
			jobs = make(chan *job, 64)
			go sender(jobs)
			started = true
		}
		j := &job{number(r), context.Background(), make(chan struct{}, 1)}
		jobs <- j
		mutex.Unlock()
		<-j.done
		if started {
			time.Sleep(20 * time.Millisecond)
		}
		io.WriteString(w, "ok")
	}
}

type drain struct {
	server  *server
	mutex   sync.Mutex
	jobs    []*job
	running bool
}

func (d *drain) add(j *job) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.jobs = append(d.jobs, j)
	if !d.running {
		d.running = true
		go d.run()
	}
}

func (d *drain) run() {
	for {
		d.mutex.Lock()
		if len(d.jobs) == 0 {
			d.running = false
			d.mutex.Unlock()
			return
		}
		j := d.jobs[0]
		d.jobs = d.jobs[1:]
		d.mutex.Unlock()
		d.server.call(j.context, j.number)
		j.done <- struct{}{}
	}
}
