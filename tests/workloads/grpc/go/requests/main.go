// Requests that goroutines serve, of gRPC and of HTTP, with calls of both: all gRPC on one connection, both on its server's and its
// client's side. A request's number stands in its method or path and in that of every call made for it, so that it is known whose
// each call is.
//
// Usage: requests serve GRPC HTTP CALLED_GRPC CALLED_HTTP    method /WAY/NUMBER or path /WAY/NUMBER
//
//	requests called GRPC HTTP                           answers after a while
//	requests load grpc|http HOST:PORT WAY CONCURRENCY COUNT FIRST
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"workloads/grpc/tour"
)

// Methods of each service: as many as there are requests.
const numbers = 20000

func main() {
	switch os.Args[1] {
	case "serve":
		serve(os.Args[2], os.Args[3], os.Args[4], os.Args[5])
	case "called":
		called(os.Args[2], os.Args[3])
	case "load":
		load()
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// Serves whatever method is asked for as a unary call.
func service(name string, answer func(ctx context.Context, number string)) *grpc.ServiceDesc {
	description := &grpc.ServiceDesc{ServiceName: name}
	for i := 0; i < numbers; i++ {
		number := strconv.Itoa(i)
		handler := func(_ interface{}, ctx context.Context, decode func(interface{}) error, _ grpc.UnaryServerInterceptor) (interface{}, error) {
			var request []byte
			err := decode(&request)
			if err == nil {
				answer(ctx, number)
			}
			return &request, err
		}
		description.Methods = append(description.Methods, grpc.MethodDesc{MethodName: number, Handler: handler})
	}
	return description
}

// The same, as a stream both ways: each message is answered.
func streaming(name string, answer func(ctx context.Context, number string)) *grpc.ServiceDesc {
	description := &grpc.ServiceDesc{ServiceName: name}
	for i := 0; i < numbers; i++ {
		number := strconv.Itoa(i)
		handler := func(_ interface{}, stream grpc.ServerStream) error {
			for {
				var message []byte
				if err := stream.RecvMsg(&message); errors.Is(err, io.EOF) {
					return nil
				} else if err != nil {
					return err
				}
				answer(stream.Context(), number)
				if err := stream.SendMsg(&message); err != nil {
					return err
				}
			}
		}
		description.Streams = append(description.Streams, grpc.StreamDesc{
			StreamName: number, Handler: handler, ServerStreams: true, ClientStreams: true,
		})
	}
	return description
}

func listen(server *grpc.Server, address string) {
	listener, err := net.Listen("tcp", address)
	check(err)
	go func() { check(server.Serve(listener)) }()
}

func newServer() *grpc.Server {
	return grpc.NewServer(grpc.ForceServerCodec(tour.Codec{}))
}

func dial(address string) *grpc.ClientConn {
	connection, err := grpc.Dial(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(tour.Codec{})),
		grpc.WithNoProxy())
	check(err)
	return connection
}

func called(own, ownHTTP string) {
	wait := func(context.Context, string) {
		time.Sleep(time.Duration(500+rand.Intn(3000)) * time.Microsecond)
	}
	server := newServer()
	server.RegisterService(service("call", wait), nil)
	server.RegisterService(streaming("stream", wait), nil)
	listen(server, own)
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		wait(r.Context(), "")
		io.WriteString(w, "ok")
	})
	log.Fatal(http.ListenAndServe(ownHTTP, nil))
}

// What is called by those who serve.
type downstream struct {
	connection *grpc.ClientConn
	client     *http.Client
	address    string
}

func (d *downstream) call(ctx context.Context, number string) {
	request, answer := []byte("a request"), []byte{}
	if err := d.connection.Invoke(ctx, "/call/"+number, &request, &answer); err != nil {
		log.Print(err)
	}
}

func (d *downstream) get(ctx context.Context, number string) {
	request, err := http.NewRequestWithContext(ctx, "GET", "http://"+d.address+"/call/"+number, nil)
	check(err)
	if answer, err := d.client.Do(request); err == nil {
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	}
}

// Three messages on one stream, each sent when the one before has been answered.
func (d *downstream) stream(ctx context.Context, number string) {
	description := grpc.StreamDesc{StreamName: number, ClientStreams: true, ServerStreams: true}
	exchange(ctx, d.connection, &description, "/stream/"+number)
}

func exchange(ctx context.Context, connection *grpc.ClientConn, description *grpc.StreamDesc, method string) error {
	stream, err := connection.NewStream(ctx, description, method)
	if err != nil {
		return err
	}
	for i := 0; i < 3; i++ {
		message := []byte("a message")
		if err := stream.SendMsg(&message); err != nil {
			return err
		}
		if err := stream.RecvMsg(&message); err != nil {
			return err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	var rest []byte
	if err := stream.RecvMsg(&rest); !errors.Is(err, io.EOF) {
		return fmt.Errorf("more than was sent: %v", err)
	}
	return nil
}

// Three calls at once, each by a goroutine of its own.
func (d *downstream) threeCalls(number string) {
	var all sync.WaitGroup
	for i := 0; i < 3; i++ {
		all.Add(1)
		go func() { defer all.Done(); d.call(context.Background(), number) }()
	}
	all.Wait()
}

func (d *downstream) threeGets(number string) {
	var all sync.WaitGroup
	for i := 0; i < 3; i++ {
		all.Add(1)
		go func() { defer all.Done(); d.get(context.Background(), number) }()
	}
	all.Wait()
}

// A piece of work that is handed over.
type job struct {
	number  string
	context context.Context
	done    chan struct{}
}

func (d *downstream) worker(jobs chan *job) {
	for j := range jobs {
		d.call(j.context, j.number)
		close(j.done)
	}
}

// A pool of workers that is handed work with the context that `of` makes of the request's.
func (d *downstream) pool(of func(context.Context) context.Context) func(context.Context, string) {
	jobs := make(chan *job, 64)
	for i := 0; i < 4; i++ {
		go d.worker(jobs)
	}
	return func(ctx context.Context, number string) {
		j := &job{number, of(ctx), make(chan struct{})}
		jobs <- j
		<-j.done
	}
}

// A sender that the first of fifty requests starts, and that then sends for all.
func (d *downstream) lazily() func(context.Context, string) {
	var mutex sync.Mutex
	var jobs chan *job
	requests := 0
	return func(_ context.Context, number string) {
		mutex.Lock()
		starts := requests%50 == 0
		if requests++; starts {
			if jobs != nil {
				close(jobs)
			}
			jobs = make(chan *job, 64)
			go d.worker(jobs)
		}
		j := &job{number, context.Background(), make(chan struct{})}
		jobs <- j
		mutex.Unlock()
		<-j.done
		if starts {
			time.Sleep(20 * time.Millisecond)
		}
	}
}

func serve(own, ownHTTP, calledGRPC, calledHTTP string) {
	none := context.Background()
	d := &downstream{
		dial(calledGRPC),
		&http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
		calledHTTP,
	}
	same := func(ctx context.Context) context.Context { return ctx }
	without := func(context.Context) context.Context { return none }
	server := newServer()
	way := func(name string, serve func(ctx context.Context, number string)) {
		server.RegisterService(service(name, serve), nil)
	}
	// The goroutine that serves calls, by gRPC, by a stream of it, and by HTTP.
	way("grpc-unary", func(_ context.Context, number string) { d.call(none, number) })
	way("grpc-stream", func(ctx context.Context, number string) { d.stream(ctx, number) })
	way("grpc-http", func(_ context.Context, number string) { d.get(none, number) })
	// Three goroutines at once.
	way("grpc-fanout", func(_ context.Context, number string) { d.threeCalls(number) })
	way("grpc-fanout-http", func(_ context.Context, number string) { d.threeGets(number) })
	// A stream is served: each of its messages calls.
	server.RegisterService(streaming("grpc-served", func(_ context.Context, number string) { d.call(none, number) }), nil)
	// Workers, and what goes on after the answer.
	way("grpc-pool", d.pool(without))
	way("grpc-pool-context", d.pool(same))
	way("grpc-lazy", d.lazily())
	late := func(_ context.Context, number string) {
		go func() { time.Sleep(3 * time.Millisecond); d.call(none, number) }()
		go func() { d.call(none, number) }()
	}
	way("grpc-late", late)
	listen(server, own)

	path := func(name string, serve func(ctx context.Context, number string)) {
		http.HandleFunc("/"+name+"/", func(w http.ResponseWriter, r *http.Request) {
			serve(r.Context(), strings.Split(r.URL.Path, "/")[2])
			io.WriteString(w, "ok")
		})
	}
	// The same of requests that come by HTTP.
	path("http-unary", func(_ context.Context, number string) { d.call(none, number) })
	path("http-stream", func(ctx context.Context, number string) { d.stream(ctx, number) })
	path("http-fanout", func(_ context.Context, number string) { d.threeCalls(number) })
	path("http-pool", d.pool(without))
	path("http-pool-context", d.pool(same))
	path("http-lazy", d.lazily())
	path("http-late", late)
	log.Fatal(http.ListenAndServe(ownHTTP, nil))
}

func load() {
	kind, address, way := os.Args[2], os.Args[3], os.Args[4]
	concurrency, _ := strconv.Atoi(os.Args[5])
	count, _ := strconv.Atoi(os.Args[6])
	first, _ := strconv.Atoi(os.Args[7])
	send := asker(kind, address, way, concurrency)
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
				if err := send(strconv.Itoa(first + number)); err != nil {
					log.Print(err)
					atomic.AddInt64(&failed, 1)
				}
			}
		}()
	}
	all.Wait()
	fmt.Println("failed", failed)
}

func asker(kind, address, way string, concurrency int) func(number string) error {
	if kind == "grpc" {
		connection := dial(address)
		description := grpc.StreamDesc{StreamName: "a stream", ClientStreams: true, ServerStreams: true}
		return func(number string) error {
			method := "/" + way + "/" + number
			if way == "grpc-served" {
				return exchange(context.Background(), connection, &description, method)
			}
			request, answer := []byte("a request"), []byte{}
			return connection.Invoke(context.Background(), method, &request, &answer)
		}
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: concurrency}}
	return func(number string) error {
		answer, err := client.Get("http://" + address + "/" + way + "/" + number)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		io.Copy(io.Discard, answer.Body)
		if answer.StatusCode != 200 {
			return errors.New(answer.Status)
		}
		return nil
	}
}
