import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import io.grpc.Context;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.StreamObserver;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintStream;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;

/**
 * The gRPC tour's client on grpc-java with Netty: all calls on one connection.
 * Usage: TourClient HOST:PORT tour [TRACEPARENT] | TourClient HOST:PORT load CALLS AT_A_TIME
 */
public class TourClient {
    /** Whatever the locale is. */
    private static final PrintStream OUT =
            new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8);

    private final Channel channel;

    private TourClient(Channel channel) {
        this.channel = channel;
    }

    public static void main(String[] arguments) throws Exception {
        String[] address = arguments[0].split(":");
        var channel = NettyChannelBuilder
                .forAddress(new InetSocketAddress(address[0], Integer.parseInt(address[1]))).usePlaintext().build();
        var client = new TourClient(channel);
        switch (arguments[1]) {
            case "tour" -> client.tour(arguments.length > 2 ? arguments[2] : null);
            case "load" -> client.load(Integer.parseInt(arguments[2]), Integer.parseInt(arguments[3]));
            default -> throw new IllegalArgumentException(arguments[1]);
        }
        channel.shutdown().awaitTermination(5, TimeUnit.SECONDS);
    }

    private void tour(String traceparent) throws Exception {
        tell("Echo", () -> unary("Echo", "0123456789".repeat(10).getBytes()));
        tell("Echo", () -> unary("Echo", "0123456789".repeat(20_000).getBytes()));
        tell("Refuse", () -> unary("Refuse", "5".getBytes()));
        tell("Refuse", () -> unary("Refuse", "13".getBytes()));
        tell("Collect", () -> collect(messages(5)));
        tell("Count", () -> count("7".getBytes()));
        tell("Chat", () -> chat(messages(3)));
        givenUp(CallOptions.DEFAULT.withDeadlineAfter(200, TimeUnit.MILLISECONDS));
        var timer = Executors.newSingleThreadScheduledExecutor();
        try (var context = Context.current().withCancellation()) {
            timer.schedule(() -> context.cancel(null), 100, TimeUnit.MILLISECONDS);
            context.call(() -> {
                givenUp(CallOptions.DEFAULT);
                return null;
            });
        }
        timer.shutdown();
        tell("Missing", () -> unary("Missing", new byte[0]));
        if (traceparent != null) {
            var metadata = new Metadata();
            metadata.put(Metadata.Key.of("traceparent", Metadata.ASCII_STRING_MARSHALLER), traceparent);
            var with = ClientInterceptors.intercept(channel, MetadataUtils.newAttachHeadersInterceptor(metadata));
            tell("Echo", () -> new TourClient(with).unary("Echo", "traced".getBytes()));
        }
    }

    private void load(int calls, int atATime) throws Exception {
        var threads = Executors.newFixedThreadPool(atATime);
        for (int i = 0; i < calls; i++) {
            int number = i;
            threads.submit(() -> {
                call(number);
                return null;
            });
        }
        threads.shutdown();
        threads.awaitTermination(1, TimeUnit.HOURS);
    }

    private void call(int number) throws Exception {
        String before = "\"number\": " + number + ", ";
        switch (number % 3) {
            case 0 -> tell(before, "Echo", () -> unary("Echo", ("call " + number).getBytes()));
            case 1 -> tell(before, "Refuse", () -> unary("Refuse", ("5 call " + number).getBytes()));
            default -> tell(before, "Count", () -> count(("3 call " + number).getBytes()));
        }
    }

    private List<byte[]> unary(String method, byte[] request) {
        return List.of(ClientCalls.blockingUnaryCall(channel, Tour.method(method), CallOptions.DEFAULT, request));
    }

    private List<byte[]> count(byte[] request) {
        var answers = new ArrayList<byte[]>();
        ClientCalls.blockingServerStreamingCall(channel, Tour.method("Count"), CallOptions.DEFAULT, request)
                .forEachRemaining(answers::add);
        return answers;
    }

    private List<byte[]> collect(List<byte[]> requests) throws Exception {
        var answers = new Answers();
        var sender = ClientCalls.asyncClientStreamingCall(
                channel.newCall(Tour.method("Collect"), CallOptions.DEFAULT), answers);
        requests.forEach(sender::onNext);
        sender.onCompleted();
        return answers.rest();
    }

    /** Each request is sent when the one before has been answered. */
    private List<byte[]> chat(List<byte[]> requests) throws Exception {
        var answers = new Answers();
        var sender =
                ClientCalls.asyncBidiStreamingCall(channel.newCall(Tour.method("Chat"), CallOptions.DEFAULT), answers);
        var told = new ArrayList<byte[]>();
        for (byte[] request : requests) {
            sender.onNext(request);
            told.add(answers.next());
        }
        sender.onCompleted();
        told.addAll(answers.rest());
        return told;
    }

    /** A call that the client ends: the message is its own then, and not told. */
    private void givenUp(CallOptions options) throws Exception {
        tell("Sleep", () -> {
            try {
                return List.of(ClientCalls.blockingUnaryCall(channel, Tour.method("Sleep"), options, "2000".getBytes()));
            } catch (StatusRuntimeException error) {
                throw error.getStatus().withDescription("").asRuntimeException();
            }
        });
    }

    private static List<byte[]> messages(int count) {
        return IntStream.range(0, count).mapToObj(i -> ("message " + i).getBytes()).toList();
    }

    private static void tell(String method, Callable<List<byte[]>> call) throws Exception {
        tell("", method, call);
    }

    /** Calls, and prints the line of the call. A long answer is told by its SHA-256. */
    private static void tell(String before, String method, Callable<List<byte[]>> call) throws Exception {
        Status status = Status.OK;
        List<byte[]> answers = List.of();
        try {
            answers = call.call();
        } catch (StatusRuntimeException error) {
            status = error.getStatus();
        }
        var told = new ArrayList<String>();
        for (byte[] answer : answers) {
            told.add(quoted(answer.length <= 100 ? new String(answer, StandardCharsets.UTF_8)
                    : HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(answer))));
        }
        String message = status.getDescription() == null ? "" : status.getDescription();
        OUT.print("{" + before + "\"method\": " + quoted(Tour.SERVICE + "/" + method)
                + ", \"status\": " + quoted(status.getCode().name()) + ", \"message\": " + quoted(message)
                + ", \"answers\": [" + String.join(", ", told) + "]}\n");
        OUT.flush();
    }

    private static String quoted(String text) {
        return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n") + '"';
    }

    /** What a streaming call is answered, to be waited for. */
    private static final class Answers implements StreamObserver<byte[]> {
        /** A message, the error, or END. */
        private final LinkedBlockingQueue<Object> come = new LinkedBlockingQueue<>();
        private static final Object END = new Object();

        /** The next message; null at the end. */
        byte[] next() throws InterruptedException {
            Object next = come.take();
            if (next instanceof Throwable error) {
                throw Status.fromThrowable(error).asRuntimeException();
            }
            return next == END ? null : (byte[]) next;
        }

        List<byte[]> rest() throws InterruptedException {
            var all = new ArrayList<byte[]>();
            for (byte[] message = next(); message != null; message = next()) {
                all.add(message);
            }
            return all;
        }

        @Override
        public void onNext(byte[] message) {
            come.add(message);
        }

        @Override
        public void onError(Throwable error) {
            come.add(error);
        }

        @Override
        public void onCompleted() {
            come.add(END);
        }
    }
}
