// A streamed answer by Go's own HTTP client, line by line as it comes. No dependencies: `go run main.go [ROUTE]`.
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
)

type chunk struct {
	Choices []struct {
		Delta struct {
			Content string `json:"content"`
		} `json:"delta"`
	} `json:"choices"`
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	route := "chat"
	if len(os.Args) > 1 {
		route = os.Args[1]
	}
	ca, err := os.ReadFile(os.Getenv("SIDECAR_CA"))
	fail(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	client := http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots},
		ForceAttemptHTTP2: true,
	}}

	body, err := json.Marshal(map[string]any{
		"model":    route,
		"messages": []map[string]string{{"role": "user", "content": "Say hello."}},
		"stream":   true,
	})
	fail(err)
	request, err := http.NewRequest("POST", os.Getenv("SIDECAR_URL")+"/v1/chat/completions", bytes.NewReader(body))
	fail(err)
	request.Header.Set("Authorization", "Bearer "+os.Getenv("SIDECAR_API_KEY"))
	request.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(request)
	fail(err)
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		fail(fmt.Errorf("%s, request %s", answer.Status, answer.Header.Get("X-Request-Id")))
	}

	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		data := strings.TrimPrefix(lines.Text(), "data: ")
		if data == lines.Text() || data == "[DONE]" {
			continue
		}
		var piece chunk
		fail(json.Unmarshal([]byte(data), &piece))
		for _, choice := range piece.Choices {
			fmt.Print(choice.Delta.Content)
		}
	}
	fail(lines.Err())
	fmt.Println()
}
