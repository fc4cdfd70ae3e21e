import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.concurrent.Executors;

/** The tour's server on the JDK's HttpServer with a thread pool. Usage: TourServer HOST PORT */
public class TourServer {
    private static final byte[] BIG = "0123456789abcdef".repeat(65536).getBytes();

    public static void main(String[] arguments) throws IOException {
        var address = new InetSocketAddress(arguments[0], Integer.parseInt(arguments[1]));
        HttpServer server = HttpServer.create(address, 128);
        server.setExecutor(Executors.newFixedThreadPool(4));
        server.createContext("/", TourServer::serve);
        server.start();
    }

    private static void serve(HttpExchange exchange) throws IOException {
        byte[] asked = exchange.getRequestBody().readAllBytes();
        switch (exchange.getRequestURI().getPath()) {
            case "/hello" -> fixed(exchange, 200, "hello\n".getBytes());
            case "/big" -> fixed(exchange, 200, BIG);
            case "/fail" -> fixed(exchange, 500, "failed\n".getBytes());
            case "/empty" -> exchange.sendResponseHeaders(204, -1);
            case "/cached" -> exchange.sendResponseHeaders(304, -1);
            case "/echo" -> fixed(exchange, 200, asked);
            case "/chunked" -> {
                exchange.sendResponseHeaders(200, 0);
                for (String piece : new String[] {"one, ", "two, ", "three\n"}) {
                    exchange.getResponseBody().write(piece.getBytes());
                    exchange.getResponseBody().flush();
                }
            }
            default -> fixed(exchange, 404, "missing\n".getBytes());
        }
        exchange.close();
    }

    private static void fixed(HttpExchange exchange, int status, byte[] body) throws IOException {
        if (exchange.getRequestMethod().equals("HEAD")) {
            exchange.sendResponseHeaders(status, -1);
            return;
        }
        exchange.sendResponseHeaders(status, body.length);
        exchange.getResponseBody().write(body);
    }
}
