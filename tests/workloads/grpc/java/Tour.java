import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.Marshaller;
import io.grpc.MethodDescriptor.MethodType;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;

/** What server and client of the gRPC tour have in common. Messages are bytes, so nothing is generated. */
final class Tour {
    static final String SERVICE = "spanwire.tests.Tour";

    static MethodDescriptor<byte[], byte[]> method(String name) {
        MethodType type = switch (name) {
            case "Collect" -> MethodType.CLIENT_STREAMING;
            case "Count" -> MethodType.SERVER_STREAMING;
            case "Chat" -> MethodType.BIDI_STREAMING;
            default -> MethodType.UNARY;
        };
        var bytes = new Bytes();
        return MethodDescriptor.newBuilder(bytes, bytes)
                .setType(type)
                .setFullMethodName(MethodDescriptor.generateFullMethodName(SERVICE, name))
                .build();
    }

    /** Takes messages as they are. */
    private static final class Bytes implements Marshaller<byte[]> {
        @Override
        public InputStream stream(byte[] message) {
            return new ByteArrayInputStream(message);
        }

        @Override
        public byte[] parse(InputStream stream) {
            try {
                return stream.readAllBytes();
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        }
    }
}
