// The gRPC tour's server on grpc-go.
// Usage: server HOST:PORT
package main

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"workloads/grpc/tour"
)

// The number that a request begins with.
func number(request []byte) (int, error) {
	word, _, _ := strings.Cut(string(request), " ")
	return strconv.Atoi(word)
}

func echo(_ context.Context, request []byte) ([]byte, error) { return request, nil }

func refuse(_ context.Context, request []byte) ([]byte, error) {
	code, err := number(request)
	if err != nil {
		return nil, err
	}
	return nil, status.Errorf(codes.Code(code), "refused: é %d", code)
}

func sleep(ctx context.Context, request []byte) ([]byte, error) {
	milliseconds, err := number(request)
	if err != nil {
		return nil, err
	}
	select {
	case <-time.After(time.Duration(milliseconds) * time.Millisecond):
		return request, nil
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

func collect(_ any, stream grpc.ServerStream) error {
	var message []byte
	for messages := 0; ; messages++ {
		err := stream.RecvMsg(&message)
		if errors.Is(err, io.EOF) {
			answer := []byte(strconv.Itoa(messages))
			return stream.SendMsg(&answer)
		}
		if err != nil {
			return err
		}
	}
}

func count(_ any, stream grpc.ServerStream) error {
	var request []byte
	if err := stream.RecvMsg(&request); err != nil {
		return err
	}
	messages, err := number(request)
	if err != nil {
		return err
	}
	for i := range messages {
		answer := []byte(strconv.Itoa(i))
		if err := stream.SendMsg(&answer); err != nil {
			return err
		}
	}
	return nil
}

func chat(_ any, stream grpc.ServerStream) error {
	for {
		var message []byte
		err := stream.RecvMsg(&message)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.SendMsg(&message); err != nil {
			return err
		}
	}
}

func unary(name string, serve func(context.Context, []byte) ([]byte, error)) grpc.MethodDesc {
	handler := func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		var request []byte
		if err := decode(&request); err != nil {
			return nil, err
		}
		answer, err := serve(ctx, request)
		return &answer, err
	}
	return grpc.MethodDesc{MethodName: name, Handler: handler}
}

func main() {
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer(grpc.ForceServerCodec(tour.Codec{}))
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: tour.Service,
		Methods:     []grpc.MethodDesc{unary("Echo", echo), unary("Refuse", refuse), unary("Sleep", sleep)},
		Streams: []grpc.StreamDesc{
			{StreamName: "Collect", Handler: collect, ClientStreams: true},
			{StreamName: "Count", Handler: count, ServerStreams: true},
			{StreamName: "Chat", Handler: chat, ClientStreams: true, ServerStreams: true},
		},
	}, nil)
	log.Fatal(server.Serve(listener))
}
