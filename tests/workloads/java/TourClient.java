import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.security.MessageDigest;
import java.util.HexFormat;

/** The tour's client on the JDK's HttpClient. Usage: TourClient HOST:PORT METHOD:PATH[:BODY_LENGTH]... */
public class TourClient {
    public static void main(String[] arguments) throws Exception {
        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        for (int i = 1; i < arguments.length; i++) {
            String[] parts = arguments[i].split(":");
            var body = BodyPublishers.noBody();
            if (parts.length > 2) {
                int length = Integer.parseInt(parts[2]);
                body = BodyPublishers.ofString("0123456789".repeat(length).substring(0, length));
            }
            var request = HttpRequest.newBuilder(URI.create("http://" + arguments[0] + parts[1]))
                    .header("User-Agent", "tour/1").method(parts[0], body).build();
            var answer = client.send(request, BodyHandlers.ofByteArray());
            byte[] hash = MessageDigest.getInstance("SHA-256").digest(answer.body());
            System.out.printf("%s %s %d %d %s%n", parts[0], parts[1], answer.statusCode(), answer.body().length,
                    HexFormat.of().formatHex(hash));
        }
    }
}
