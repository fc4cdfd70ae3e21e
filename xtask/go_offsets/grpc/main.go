// A program with both transports of grpc-go in it, whose layouts the agent must know: built with each of its releases, never run.
package main

import (
	"context"
	"net"

	"google.golang.org/grpc"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return
	}
	go grpc.NewServer().Serve(listener)
	connection, err := grpc.Dial(listener.Addr().String(), grpc.WithInsecure())
	if err != nil {
		return
	}
	var answer []byte
	connection.Invoke(context.Background(), "/a/b", &answer, &answer)
}
