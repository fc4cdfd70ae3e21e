// A truth service that is served by a framework, or by net/http beside databases or over HTTP/2: see the package work for what it
// does. TRUTH_SERVER says which.
// Usage: service SERVICE PORT [NEXT…]
package main

import (
	"context"
	"crypto/tls"
	"database/sql"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/labstack/echo/v4"
	_ "github.com/lib/pq"
	"github.com/redis/go-redis/v9"
	"github.com/valyala/fasthttp"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"

	"spanwire.test/truth/work"
)

func main() {
	servers := map[string]func() error{
		"chi":       byChi,
		"gin":       byGin,
		"echo":      byEcho,
		"fasthttp":  byFasthttp,
		"databases": besideDatabases,
		"http2":     overHTTP2,
		"x-http2":   overHTTP2OfX,
	}
	serve := servers[os.Getenv("TRUTH_SERVER")]
	work.Begin()
	log.Fatal(serve())
}

func byChi() error {
	router := chi.NewRouter()
	router.Get("/*", work.Serve)
	return http.ListenAndServe(work.Address(), router)
}

func byGin() error {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.Use(gin.Recovery())
	engine.GET("/*path", func(c *gin.Context) {
		reply := work.For(c.Request.Context(), c.Request.URL.Path)
		c.Header("Content-Length", "3")
		c.String(reply.Status, "%s", reply.Text)
		if reply.After != nil {
			c.Writer.Flush()
			reply.After()
		}
	})
	return engine.Run(work.Address())
}

func byEcho() error {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.GET("/*", func(c echo.Context) error {
		reply := work.For(c.Request().Context(), c.Request().URL.Path)
		c.Response().Header().Set("Content-Length", "3")
		err := c.String(reply.Status, reply.Text)
		if reply.After != nil {
			c.Response().Flush()
			reply.After()
		}
		return err
	})
	return e.Start(work.Address())
}

// Its client as well: that one's requests are written by whoever makes them. Its answers leave when the handler is done, so nothing is
// done by that one later.
func byFasthttp() error {
	client := &fasthttp.Client{MaxConnsPerHost: 512}
	work.Ask = func(_ context.Context, url string) (int, []byte, error) {
		request, answer := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
		defer fasthttp.ReleaseRequest(request)
		defer fasthttp.ReleaseResponse(answer)
		request.SetRequestURI(url)
		err := client.Do(request, answer)
		return answer.StatusCode(), append([]byte(nil), answer.Body()...), err
	}
	return fasthttp.ListenAndServe(work.Address(), func(c *fasthttp.RequestCtx) {
		reply := work.For(c, string(c.Path()))
		c.SetStatusCode(reply.Status)
		c.SetBodyString(reply.Text)
	})
}

// Fewer connections than there are goroutines that want one, so that they go from hand to hand.
const connections = 4

func besideDatabases() error {
	db, err := sql.Open("postgres", os.Getenv("TRUTH_POSTGRES"))
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections / 2)
	cache := redis.NewClient(&redis.Options{Addr: os.Getenv("TRUTH_REDIS"), PoolSize: connections})
	work.Beside = func(ctx context.Context) error {
		var one int
		if err := db.QueryRowContext(ctx, "SELECT $1::int", 1).Scan(&one); err != nil {
			return err
		}
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if err := tx.QueryRow("SELECT 2").Scan(&one); err != nil {
			return err
		}
		if err := cache.Set(ctx, "one", one, 0).Err(); err != nil {
			return err
		}
		_, err = cache.Pipelined(ctx, func(p redis.Pipeliner) error {
			p.Incr(ctx, "count")
			p.Get(ctx, "one")
			return nil
		})
		if err != nil {
			return err
		}
		return tx.Commit()
	}
	return http.ListenAndServe(work.Address(), http.HandlerFunc(work.Serve))
}

// In clear text, known beforehand by the client; the server speaks HTTP/1 as well.
func overHTTP2() error {
	client, server := new(http.Protocols), new(http.Protocols)
	client.SetUnencryptedHTTP2(true)
	server.SetUnencryptedHTTP2(true)
	server.SetHTTP1(true)
	work.Transport.Protocols = client
	it := &http.Server{Addr: work.Address(), Handler: http.HandlerFunc(work.Serve), Protocols: server}
	return it.ListenAndServe()
}

// The same by the module that the standard library's is made of.
func overHTTP2OfX() error {
	transport := &http2.Transport{
		AllowHTTP: true,
		DialTLSContext: func(ctx context.Context, network, address string, _ *tls.Config) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
	work.Client.Transport = transport
	return http.ListenAndServe(work.Address(), h2c.NewHandler(http.HandlerFunc(work.Serve), &http2.Server{}))
}
