// A service of the bench on Go's net/http that makes a unary call of gRPC for each request, and whom it calls.
// Usage: benchcaller HTTP:PORT GRPC:PORT [NEXT]
//
//	/none  answers
//	/call  asks NEXT, on the one connection that there is
package main

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"workloads/grpc/tour"
)

func main() {
	go serve(os.Args[2])
	answer := func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }
	http.HandleFunc("/none", answer)
	if len(os.Args) > 3 {
		connection, err := grpc.NewClient(os.Args[3],
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.ForceCodec(tour.Codec{})),
			grpc.WithNoProxy())
		if err != nil {
			log.Fatal(err)
		}
		http.HandleFunc("/call", func(w http.ResponseWriter, r *http.Request) {
			request, response := []byte("ask"), []byte(nil)
			if err := connection.Invoke(context.Background(), "/bench/Ask", &request, &response); err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			answer(w, r)
		})
	}
	log.Fatal(http.ListenAndServe(os.Args[1], nil))
}

func serve(address string) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer(grpc.ForceServerCodec(tour.Codec{}))
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "bench",
		Methods:     []grpc.MethodDesc{{MethodName: "Ask", Handler: ask}},
	}, nil)
	log.Fatal(server.Serve(listener))
}

func ask(_ interface{}, _ context.Context, decode func(interface{}) error, _ grpc.UnaryServerInterceptor) (interface{}, error) {
	request := []byte(nil)
	if err := decode(&request); err != nil {
		return nil, err
	}
	return &request, nil
}
