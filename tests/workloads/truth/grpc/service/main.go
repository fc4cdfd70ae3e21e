// A truth service that asks others by grpc-go and is asked so, by unary calls and by streams, all of a service's on one connection; of
// who speaks HTTP/1 it is asked by net/http, on the same port. See the package work for what it does.
// Usage: service SERVICE PORT [NEXT…]
package main

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"spanwire.test/truth/work"
)

// Messages are bytes, so nothing is generated.
type codec struct{}

func (codec) Marshal(message any) ([]byte, error) { return *message.(*[]byte), nil }

func (codec) Unmarshal(data []byte, message any) error {
	*message.(*[]byte) = append([]byte{}, data...)
	return nil
}

func (codec) Name() string { return "raw" }

// A listener that is given its connections.
type given struct {
	at    net.Addr
	conns chan net.Conn
}

func (l given) Accept() (net.Conn, error) { return <-l.conns, nil }
func (l given) Close() error              { return nil }
func (l given) Addr() net.Addr            { return l.at }

// Whether the client's first bytes are those of HTTP/2. They stay where they are, and the connection is what it was: what reads it is
// nobody between.
func isHTTP2(conn *net.TCPConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	first := make([]byte, 3)
	n := 0
	raw.Read(func(fd uintptr) bool {
		n, _, err = syscall.Recvfrom(int(fd), first, syscall.MSG_PEEK)
		return err != syscall.EAGAIN
	})
	return string(first[:max(n, 0)]) == "PRI"
}

// One connection to each service.
var (
	connections sync.Map
	making      sync.Mutex
)

func connection(address string) (*grpc.ClientConn, error) {
	if known, ok := connections.Load(address); ok {
		return known.(*grpc.ClientConn), nil
	}
	making.Lock()
	defer making.Unlock()
	if known, ok := connections.Load(address); ok {
		return known.(*grpc.ClientConn), nil
	}
	made, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(codec{})))
	if err == nil {
		connections.Store(address, made)
	}
	return made, err
}

// Each second call is a stream of its own, in both directions.
func ask(ctx context.Context, address string) (int, []byte, error) {
	where, err := url.Parse(address)
	if err != nil {
		return 0, nil, err
	}
	to, err := connection(where.Host)
	if err != nil {
		return 0, nil, err
	}
	var request, answer []byte
	if strings.HasSuffix(where.Path, "1") {
		stream, err := to.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, where.Path)
		if err != nil {
			return 0, nil, err
		}
		if err := stream.SendMsg(&request); err != nil {
			return 0, nil, err
		}
		if err := stream.CloseSend(); err != nil {
			return 0, nil, err
		}
		if err := stream.RecvMsg(&answer); err != nil {
			return 0, nil, err
		}
		var none []byte
		if err := stream.RecvMsg(&none); err != io.EOF {
			return 0, nil, err
		}
		return 200, answer, nil
	}
	if err := to.Invoke(ctx, where.Path, &request, &answer); err != nil {
		return 0, nil, err
	}
	return 200, answer, nil
}

// Whatever is called. An answer ends with its handler: nothing is after it.
func serve(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	var request []byte
	if err := stream.RecvMsg(&request); err != nil {
		return err
	}
	reply := work.For(stream.Context(), method)
	if reply.Status != 200 {
		return status.Error(codes.Unavailable, reply.Text)
	}
	text := []byte(reply.Text)
	return stream.SendMsg(&text)
}

func main() {
	work.Ask = ask
	here, err := net.Listen("tcp", work.Address())
	if err != nil {
		log.Fatal(err)
	}
	rpc := given{here.Addr(), make(chan net.Conn)}
	web := given{here.Addr(), make(chan net.Conn)}
	server := grpc.NewServer(grpc.ForceServerCodec(codec{}), grpc.UnknownServiceHandler(serve))
	go func() { log.Fatal(server.Serve(rpc)) }()
	go func() { log.Fatal(http.Serve(web, http.HandlerFunc(work.Serve))) }()
	work.Begin()
	for {
		conn, err := here.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			if isHTTP2(conn.(*net.TCPConn)) {
				rpc.conns <- conn
			} else {
				web.conns <- conn
			}
		}()
	}
}
