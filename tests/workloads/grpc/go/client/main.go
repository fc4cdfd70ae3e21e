// The gRPC tour's client on grpc-go: all calls on one connection.
// Usage: client HOST:PORT tour [TRACEPARENT]
//
//	client HOST:PORT load CALLS AT_A_TIME
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"workloads/grpc/tour"
)

// A call that ended.
type line struct {
	Number  *int     `json:"number,omitempty"`
	Method  string   `json:"method"`
	Status  string   `json:"status"`
	Message string   `json:"message"`
	Answers []string `json:"answers"`
}

// The names of the status codes as the specification has them; grpc-go has its own.
var names = []string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
	"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
	"INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}

var (
	telling sync.Mutex
	lines   = json.NewEncoder(os.Stdout)
)

// The line of a call. A long answer is told by its SHA-256.
func tell(number *int, method string, answers [][]byte, err error) {
	told := line{number, tour.Service + "/" + method, names[status.Code(err)], status.Convert(err).Message(), []string{}}
	for _, answer := range answers {
		if len(answer) > 100 {
			answer = fmt.Appendf(nil, "%x", sha256.Sum256(answer))
		}
		told.Answers = append(told.Answers, string(answer))
	}
	telling.Lock()
	defer telling.Unlock()
	if err := lines.Encode(told); err != nil {
		log.Fatal(err)
	}
}

type client struct{ connection *grpc.ClientConn }

func (c client) unary(ctx context.Context, method string, request []byte) ([][]byte, error) {
	var answer []byte
	if err := c.connection.Invoke(ctx, "/"+tour.Service+"/"+method, &request, &answer); err != nil {
		return nil, err
	}
	return [][]byte{answer}, nil
}

func (c client) stream(method string, client, server bool) (grpc.ClientStream, error) {
	description := grpc.StreamDesc{StreamName: method, ClientStreams: client, ServerStreams: server}
	return c.connection.NewStream(context.Background(), &description, "/"+tour.Service+"/"+method)
}

// Everything that is still to come.
func rest(stream grpc.ClientStream) (answers [][]byte, err error) {
	for {
		var answer []byte
		switch err := stream.RecvMsg(&answer); {
		case errors.Is(err, io.EOF):
			return answers, nil
		case err != nil:
			return nil, err
		}
		answers = append(answers, answer)
	}
}

func (c client) collect(requests [][]byte) ([][]byte, error) {
	stream, err := c.stream("Collect", true, false)
	if err != nil {
		return nil, err
	}
	for _, request := range requests {
		if err := stream.SendMsg(&request); err != nil {
			return nil, err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	var answer []byte
	if err := stream.RecvMsg(&answer); err != nil {
		return nil, err
	}
	return [][]byte{answer}, nil
}

func (c client) count(request []byte) ([][]byte, error) {
	stream, err := c.stream("Count", false, true)
	if err != nil {
		return nil, err
	}
	if err := stream.SendMsg(&request); err != nil {
		return nil, err
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	return rest(stream)
}

// Each request is sent when the one before has been answered.
func (c client) chat(requests [][]byte) ([][]byte, error) {
	stream, err := c.stream("Chat", true, true)
	if err != nil {
		return nil, err
	}
	var answers [][]byte
	for _, request := range requests {
		var answer []byte
		if err := stream.SendMsg(&request); err != nil {
			return nil, err
		}
		if err := stream.RecvMsg(&answer); err != nil {
			return nil, err
		}
		answers = append(answers, answer)
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	more, err := rest(stream)
	return append(answers, more...), err
}

// A call that the client ends: the message is its own then, and not told.
func (c client) givenUp(ctx context.Context) {
	_, err := c.unary(ctx, "Sleep", []byte("2000"))
	tell(nil, "Sleep", nil, status.Error(status.Code(err), ""))
}

func messages(count int) (all [][]byte) {
	for i := range count {
		all = append(all, fmt.Appendf(nil, "message %d", i))
	}
	return all
}

func (c client) tour(traceparent string) {
	ctx := context.Background()
	unary := func(ctx context.Context, method string, request []byte) {
		answers, err := c.unary(ctx, method, request)
		tell(nil, method, answers, err)
	}
	unary(ctx, "Echo", bytes.Repeat([]byte("0123456789"), 10))
	unary(ctx, "Echo", bytes.Repeat([]byte("0123456789"), 20_000))
	unary(ctx, "Refuse", []byte("5"))
	unary(ctx, "Refuse", []byte("13"))
	answers, err := c.collect(messages(5))
	tell(nil, "Collect", answers, err)
	answers, err = c.count([]byte("7"))
	tell(nil, "Count", answers, err)
	answers, err = c.chat(messages(3))
	tell(nil, "Chat", answers, err)
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	c.givenUp(short)
	cancelled, cancel := context.WithCancel(ctx)
	time.AfterFunc(100*time.Millisecond, cancel)
	c.givenUp(cancelled)
	unary(ctx, "Missing", nil)
	if traceparent != "" {
		unary(metadata.AppendToOutgoingContext(ctx, "traceparent", traceparent), "Echo", []byte("traced"))
	}
}

func (c client) call(number int) {
	switch number % 3 {
	case 0:
		answers, err := c.unary(context.Background(), "Echo", fmt.Appendf(nil, "call %d", number))
		tell(&number, "Echo", answers, err)
	case 1:
		answers, err := c.unary(context.Background(), "Refuse", fmt.Appendf(nil, "%d call %d", codes.NotFound, number))
		tell(&number, "Refuse", answers, err)
	default:
		answers, err := c.count(fmt.Appendf(nil, "3 call %d", number))
		tell(&number, "Count", answers, err)
	}
}

func (c client) load(calls, atATime int) {
	numbers := make(chan int)
	var working sync.WaitGroup
	for range atATime {
		working.Add(1)
		go func() {
			defer working.Done()
			for number := range numbers {
				c.call(number)
			}
		}()
	}
	for number := range calls {
		numbers <- number
	}
	close(numbers)
	working.Wait()
}

func main() {
	connection, err := grpc.NewClient(os.Args[1],
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(tour.Codec{})),
		grpc.WithNoProxy())
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	lines.SetEscapeHTML(false)
	switch arguments := os.Args[3:]; os.Args[2] {
	case "tour":
		client{connection}.tour(append(arguments, "")[0])
	case "load":
		calls, _ := strconv.Atoi(arguments[0])
		atATime, _ := strconv.Atoi(arguments[1])
		client{connection}.load(calls, atATime)
	default:
		log.Fatalf("there is no scenario %s", os.Args[2])
	}
}
