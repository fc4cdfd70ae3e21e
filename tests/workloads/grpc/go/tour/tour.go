// Package tour is what server and client of the gRPC tour have in common. Messages are bytes, so nothing is generated.
package tour

// Service is the full name of the service.
const Service = "spanwire.tests.Tour"

// Codec takes messages as they are.
type Codec struct{}

// Marshal gives a message's bytes.
func (Codec) Marshal(message any) ([]byte, error) { return *message.(*[]byte), nil }

// Unmarshal keeps a message's bytes.
func (Codec) Unmarshal(data []byte, message any) error {
	*message.(*[]byte) = append([]byte{}, data...)
	return nil
}

// Name is the codec's part of the content type.
func (Codec) Name() string { return "raw" }
