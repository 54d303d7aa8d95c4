// grpc-go against the service of tests/transport/service.py, which knows nothing but bytes: gRPC's own interoperation cases
// that fit unary and server-streaming calls.
//
//	main TARGET
//
// Prints one JSON object: the name of each check, and true, or what was there instead.
package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Messages are bytes on both sides.
type sameBytes struct{}

func (sameBytes) Marshal(message interface{}) ([]byte, error) { return *message.(*[]byte), nil }

func (sameBytes) Unmarshal(data []byte, message interface{}) error {
	*message.(*[]byte) = append([]byte{}, data...)
	return nil
}

func (sameBytes) Name() string { return "proto" }

const patience = 60 * time.Second

var connection *grpc.ClientConn

func unary(parent context.Context, name string, request []byte, options ...grpc.CallOption) ([]byte, error) {
	ctx, done := context.WithTimeout(parent, patience)
	defer done()
	var answer []byte
	if !strings.HasPrefix(name, "/") {
		name = "/test.Bytes/" + name
	}
	err := connection.Invoke(ctx, name, &request, &answer, options...)
	return answer, err
}

// The sizes of a stream's messages. `leaveAfter` so many, its caller cancels; 0: never.
func streamed(name, request string, leaveAfter int) ([]int, error) {
	ctx, leave := context.WithTimeout(context.Background(), patience)
	defer leave()
	sizes := []int{}
	stream, err := connection.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/test.Bytes/"+name)
	if err != nil {
		return sizes, err
	}
	data := []byte(request)
	if err := stream.SendMsg(&data); err != nil && err != io.EOF {
		return sizes, err
	}
	if err := stream.CloseSend(); err != nil {
		return sizes, err
	}
	for {
		var message []byte
		if err := stream.RecvMsg(&message); err != nil {
			if err == io.EOF {
				err = nil
			}
			return sizes, err
		}
		sizes = append(sizes, len(message))
		if len(sizes) == leaveAfter {
			leave()
		}
	}
}

func count() (live, cancelled int) {
	answer, err := unary(context.Background(), "count", nil)
	if err != nil {
		return -1, -1
	}
	var counts struct{ Live, Cancelled int }
	if json.Unmarshal(answer, &counts) != nil {
		return -1, -1
	}
	return counts.Live, counts.Cancelled
}

// Waits until nothing runs on the server.
func quiet() int {
	live := -1
	for end := time.Now().Add(patience); live != 0 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		live, _ = count()
	}
	return live
}

func main() {
	encoding.RegisterCodec(sameBytes{})
	dialing, done := context.WithTimeout(context.Background(), patience)
	defer done()
	sizes := grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20), grpc.MaxCallSendMsgSize(64<<20))
	var err error
	if connection, err = grpc.DialContext(dialing, os.Args[1], grpc.WithInsecure(), grpc.WithBlock(), sizes); err != nil {
		panic(err)
	}
	seen := map[string]interface{}{}
	check := func(name string, found, wanted interface{}) {
		if seen[name] = true; fmt.Sprint(found) != fmt.Sprint(wanted) {
			seen[name] = fmt.Sprint(found)
		}
	}
	background := context.Background()

	for _, size := range []int{0, 271828, 1 << 20, 20 << 20} {
		answer, err := unary(background, "echo", make([]byte, size))
		check(fmt.Sprintf("an echo of %d", size), []interface{}{len(answer), err}, []interface{}{size, nil})
	}
	answer, err := unary(background, "echo", []byte(strings.Repeat("packed ", 10000)), grpc.UseCompressor(gzip.Name))
	check("a packed request", []interface{}{len(answer), err}, []interface{}{70000, nil})
	messages, err := streamed("stream", ":31415 9 2653 58979", 0)
	check("server streaming", []interface{}{messages, err}, []interface{}{[]int{31415, 9, 2653, 58979}, nil})
	messages, err = streamed("stream", "50 300000", 0)
	check("a stream of 15 MB", []interface{}{len(messages), err}, []interface{}{50, nil})
	messages, err = streamed("stream", ":", 0)
	check("an empty stream", []interface{}{messages, err}, []interface{}{[]int{}, nil})

	_, err = unary(background, "refuse_in_words", nil)
	text := status.Convert(err).Message()
	odd := "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈 % \t\n"
	check("a status", []interface{}{status.Code(err), text}, []interface{}{codes.FailedPrecondition, odd})
	_, err = unary(background, "refuse", nil) // grpc-go takes the status out of the details
	check("its details", []interface{}{status.Code(err), status.Convert(err).Message()}, []interface{}{codes.InvalidArgument, "odd"})
	messages, err = streamed("refuse_late", "", 0)
	check("a status after a message", []interface{}{messages, status.Code(err)}, []interface{}{[]int{3}, codes.InvalidArgument})
	_, err = unary(background, "unknown", nil)
	check("an unknown method", status.Code(err), codes.Unimplemented)
	_, err = unary(background, "/test.Unknown/echo", nil)
	check("an unknown service", status.Code(err), codes.Unimplemented)
	hurried, hurry := context.WithTimeout(background, 200*time.Millisecond)
	_, err = unary(hurried, "wait", nil)
	hurry()
	check("a deadline", status.Code(err), codes.DeadlineExceeded)
	gone, leave := context.WithCancel(background)
	leave()
	_, err = unary(gone, "echo", nil)
	check("a call that is cancelled before it begins", status.Code(err), codes.Canceled)

	var initial, trailing metadata.MD
	with := metadata.AppendToOutgoingContext(
		background, "x-initial", "first", "x-trailing-bin", "\x0a\x0b\x0a\x0b\xff\x00", "x-text", "two words")
	answer, err = unary(with, "metadata", nil, grpc.Header(&initial), grpc.Trailer(&trailing))
	check("metadata", []interface{}{err, strings.Contains(string(answer), `["x-text", "two words"]`)}, []interface{}{nil, true})
	last := strings.Join(trailing.Get("x-trailing-bin"), " ")
	check("metadata that comes back", []string{strings.Join(initial.Get("x-initial"), " "), hex.EncodeToString([]byte(last))},
		[]string{"first", "0a0b0a0bff00"})

	var all sync.WaitGroup
	failed := make(chan error, 1000)
	for number := 0; number < 1000; number++ {
		all.Add(1)
		go func(text string) {
			defer all.Done()
			if answer, err := unary(background, "echo", []byte(text)); err != nil || string(answer) != text {
				failed <- fmt.Errorf("%q: %v", answer, err)
			}
		}(fmt.Sprint(number))
	}
	all.Wait()
	check("a thousand at once", len(failed), 0)
	_, before := count()
	for number := 0; number < 50; number++ {
		all.Add(1)
		go func() {
			defer all.Done()
			streamed("turns", "100000 100", 3)
		}()
	}
	all.Wait()
	live := quiet()
	_, after := count()
	check("fifty streams that were left", []int{live, after - before}, []int{0, 50})

	out, _ := json.Marshal(seen)
	fmt.Println(string(out))
}
