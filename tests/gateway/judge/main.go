// Command judge asks Envoy Gateway's own code what becomes of documents: whether the API server admits them (load.go), and what
// Envoy is told then, with the modules fetched from their registries (translate.go).
//
// It reads requests and writes answers, one JSON object a line, in order; `cargo xtask e2e gateway` is the other side.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// What is to be translated: documents in YAML.
type request struct {
	Translate struct {
		Documents string `json:"documents"`
	} `json:"translate"`
}

// What Envoy is told, or the reason why that is not known: that is no verdict, but something amiss here.
type answer struct {
	Translate *translated `json:"translate,omitempty"`
	Error     string      `json:"error,omitempty"`
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "judge: %v\n", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	requests := json.NewDecoder(bufio.NewReader(in))
	answers := json.NewEncoder(out)
	answers.SetEscapeHTML(false)
	for {
		var asked request
		if err := requests.Decode(&asked); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("failed to read a request: %w", err)
		}
		told, err := translate([]byte(asked.Translate.Documents))
		reply := answer{Translate: told}
		if err != nil {
			reply.Error = err.Error()
		}
		if err := answers.Encode(reply); err != nil {
			return fmt.Errorf("failed to write an answer: %w", err)
		}
	}
}
