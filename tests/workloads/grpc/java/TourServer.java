import static io.grpc.stub.ServerCalls.asyncBidiStreamingCall;
import static io.grpc.stub.ServerCalls.asyncClientStreamingCall;
import static io.grpc.stub.ServerCalls.asyncServerStreamingCall;
import static io.grpc.stub.ServerCalls.asyncUnaryCall;

import io.grpc.Context;
import io.grpc.ServerServiceDefinition;
import io.grpc.Status;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.StreamObserver;
import java.net.InetSocketAddress;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** The gRPC tour's server on grpc-java with Netty. Usage: TourServer HOST:PORT */
public class TourServer {
    public static void main(String[] arguments) throws Exception {
        String[] address = arguments[0].split(":");
        var service = ServerServiceDefinition.builder(Tour.SERVICE)
                .addMethod(Tour.method("Echo"), asyncUnaryCall(TourServer::answer))
                .addMethod(Tour.method("Refuse"), asyncUnaryCall(TourServer::refuse))
                .addMethod(Tour.method("Sleep"), asyncUnaryCall(TourServer::sleep))
                .addMethod(Tour.method("Collect"), asyncClientStreamingCall(Collect::new))
                .addMethod(Tour.method("Count"), asyncServerStreamingCall(TourServer::count))
                .addMethod(Tour.method("Chat"), asyncBidiStreamingCall(Chat::new))
                .build();
        NettyServerBuilder.forAddress(new InetSocketAddress(address[0], Integer.parseInt(address[1])))
                .addService(service).build().start().awaitTermination();
    }

    private static void answer(byte[] message, StreamObserver<byte[]> answers) {
        answers.onNext(message);
        answers.onCompleted();
    }

    private static void refuse(byte[] request, StreamObserver<byte[]> answers) {
        int code = number(request);
        answers.onError(Status.fromCodeValue(code).withDescription("refused: é " + code).asRuntimeException());
    }

    private static void sleep(byte[] request, StreamObserver<byte[]> answers) {
        var ended = new CountDownLatch(1);
        Context.current().addListener(context -> ended.countDown(), Runnable::run);
        try {
            if (!ended.await(number(request), TimeUnit.MILLISECONDS)) {
                answer(request, answers);
            }
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
        }
    }

    private static void count(byte[] request, StreamObserver<byte[]> answers) {
        for (int i = 0; i < number(request); i++) {
            answers.onNext(Integer.toString(i).getBytes());
        }
        answers.onCompleted();
    }

    /** The number that a request begins with. */
    private static int number(byte[] request) {
        return Integer.parseInt(new String(request).split(" ")[0]);
    }

    private static final class Collect implements StreamObserver<byte[]> {
        private final StreamObserver<byte[]> answers;
        private int messages;

        Collect(StreamObserver<byte[]> answers) {
            this.answers = answers;
        }

        @Override
        public void onNext(byte[] message) {
            messages++;
        }

        @Override
        public void onCompleted() {
            answer(Integer.toString(messages).getBytes(), answers);
        }

        @Override
        public void onError(Throwable error) {}
    }

    private record Chat(StreamObserver<byte[]> answers) implements StreamObserver<byte[]> {
        @Override
        public void onNext(byte[] message) {
            answers.onNext(message);
        }

        @Override
        public void onCompleted() {
            answers.onCompleted();
        }

        @Override
        public void onError(Throwable error) {}
    }
}
