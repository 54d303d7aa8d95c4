// Go's net/http: `main VERSION CASES` sends each case by HTTP/1.1 or HTTP/2 and prints what it receives, as JSON.
// A case is {url, ca, authorization, type, bytes}; what is received a status, or the text of an error.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"
)

type sent struct {
	URL           string `json:"url"`
	CA            string `json:"ca"`
	Authorization string `json:"authorization"`
	Type          string `json:"type"`
	Bytes         int    `json:"bytes"`
}

func received(version string, one sent) (int, error) {
	pem, err := os.ReadFile(one.CA)
	if err != nil {
		return 0, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: version == "2"}
	if version == "1" {
		transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	request, err := http.NewRequest("POST", one.URL, bytes.NewReader(bytes.Repeat([]byte("x"), one.Bytes)))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", one.Authorization)
	request.Header.Set("Content-Type", one.Type)
	answer, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	if answer.Proto[5:6] != version {
		return 0, fmt.Errorf("answered by %s", answer.Proto)
	}
	var body struct{ Error map[string]interface{} }
	return answer.StatusCode, json.NewDecoder(answer.Body).Decode(&body)
}

func main() {
	var cases []sent
	if err := json.Unmarshal([]byte(os.Args[2]), &cases); err != nil {
		panic(err)
	}
	all := []interface{}{}
	for _, one := range cases {
		if status, err := received(os.Args[1], one); err != nil {
			all = append(all, err.Error())
		} else {
			all = append(all, status)
		}
	}
	text, _ := json.Marshal(all)
	fmt.Println(string(text))
}
