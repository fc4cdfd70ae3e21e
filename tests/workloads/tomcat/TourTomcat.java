import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.File;
import java.io.IOException;
import org.apache.catalina.startup.Tomcat;

/** The tour's server on Tomcat. Usage: TourTomcat HOST PORT FOLDER (where it may write). */
public class TourTomcat extends HttpServlet {
    private static final byte[] BIG = "0123456789abcdef".repeat(65536).getBytes();

    public static void main(String[] arguments) throws Exception {
        var tomcat = new Tomcat();
        tomcat.setBaseDir(arguments[2]);
        tomcat.setHostname(arguments[0]);
        tomcat.setPort(Integer.parseInt(arguments[1]));
        tomcat.getConnector().setProperty("address", arguments[0]);
        var context = tomcat.addContext("", new File(arguments[2]).getAbsolutePath());
        Tomcat.addServlet(context, "tour", new TourTomcat());
        context.addServletMappingDecoded("/*", "tour");
        tomcat.start();
        tomcat.getServer().await();
    }

    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
        switch (request.getRequestURI()) {
            case "/hello" -> fixed(response, 200, "hello\n".getBytes());
            case "/big" -> fixed(response, 200, BIG);
            case "/fail" -> fixed(response, 500, "failed\n".getBytes());
            case "/empty" -> response.setStatus(204);
            case "/cached" -> response.setStatus(304);
            case "/echo" -> fixed(response, 200, request.getInputStream().readAllBytes());
            case "/chunked" -> {
                for (String piece : new String[] {"one, ", "two, ", "three\n"}) {
                    response.getOutputStream().write(piece.getBytes());
                    response.flushBuffer();
                }
            }
            default -> fixed(response, 404, "missing\n".getBytes());
        }
    }

    private static void fixed(HttpServletResponse response, int status, byte[] body) throws IOException {
        response.setStatus(status);
        response.setContentLength(body.length);
        response.getOutputStream().write(body);
    }
}
