import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Executors;

/**
 * A truth service on the JDK's HttpServer, whose pool grows by a thread for each request at once. See
 * tests/src/truth/services.rs for what it does. Usage: Service SERVICE PORT [NEXT…]
 */
public class Service {
    private static String name;
    private static int[] next;

    public static void main(String[] arguments) throws IOException {
        name = arguments[0];
        next = new int[arguments.length - 2];
        for (int at = 0; at < next.length; at++) {
            next[at] = Integer.parseInt(arguments[at + 2]);
        }
        // HttpURLConnection keeps connections to a server in a pool of the whole process.
        System.setProperty("http.maxConnections", "512");
        System.setProperty("sun.net.httpserver.maxIdleConnections", "512");
        System.setProperty("sun.net.httpserver.idleInterval", "600");
        System.setProperty("sun.net.http.retryPost", "false");
        System.setProperty("sun.net.httpserver.nodelay", "true");
        var address = new InetSocketAddress(place("TRUTH_HERE"), Integer.parseInt(arguments[1]));
        HttpServer server = HttpServer.create(address, 256);
        server.setExecutor(Executors.newCachedThreadPool());
        server.createContext("/", Service::serve);
        server.start();
        if (next.length > 0) {
            background(Service::timer);
        }
    }

    /** An address that the environment may name. */
    private static String place(String variable) {
        return System.getenv().getOrDefault(variable, "127.0.0.1");
    }

    private interface Work {
        void run() throws Exception;
    }

    private static void background(Work work) {
        var thread = new Thread(() -> quietly(work));
        thread.setDaemon(true);
        thread.start();
    }

    private static void quietly(Work work) {
        try {
            work.run();
        } catch (Exception error) {
            error.printStackTrace();
        }
    }

    private static void timer() throws Exception {
        for (int number = 0; ; number++) {
            Thread.sleep(20);
            ask(0, "/timer/" + name + "." + number);
        }
    }

    private static boolean ask(int which, String path) throws IOException {
        var url = URI.create("http://" + place("TRUTH_NEXT") + ":" + next[which] + path).toURL();
        var connection = (HttpURLConnection) url.openConnection();
        boolean well = connection.getResponseCode() == 200;
        try (InputStream body = well ? connection.getInputStream() : connection.getErrorStream()) {
            return new String(body.readAllBytes(), StandardCharsets.US_ASCII).equals("ok\n") && well;
        }
    }

    private static int habit(String id) {
        return id.chars().sum() % 8;
    }

    private static boolean work(String id) throws Exception {
        int kind = habit(id);
        if (kind == 0) {
            background(() -> ask(0, "/later/" + id));
        }
        if (kind == 1) {
            Thread.sleep(2);
        }
        boolean well = true;
        for (int at = 0; at < next.length; at++) {
            well = ask(at, "/call/" + id + "." + at) && well;
            if (kind == 3) {
                Thread.sleep(1);
            }
        }
        return well;
    }

    private static void serve(HttpExchange exchange) throws IOException {
        String path = exchange.getRequestURI().getPath();
        String id = path.startsWith("/call/") && next.length > 0 ? path.substring("/call/".length()) : null;
        boolean well = true;
        try {
            well = id == null || work(id);
        } catch (Exception error) {
            error.printStackTrace();
            well = false;
        }
        exchange.sendResponseHeaders(well ? 200 : 502, 3);
        exchange.getResponseBody().write((well ? "ok\n" : "no\n").getBytes(StandardCharsets.US_ASCII));
        exchange.close();
        if (id != null && habit(id) == 4) {
            ask(0, "/after/" + id);
        }
    }
}
