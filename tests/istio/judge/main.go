// Command judge asks Istio's own code what a real mesh would say: to a document (the API server and istiod's webhook, admit.go), to
// an image (the agent in the proxy's pod, fetch.go). It also lists the rules of Istio's CRDs (rules.go) and pushes the images that
// no tool of ours makes (push.go).
//
// It reads requests and writes answers, one JSON object a line, in order; `cargo xtask e2e istio` is the other side.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"istio.io/istio/pkg/log"
)

// A request has exactly one of its fields.
type request struct {
	Validate *validateRequest `json:"validate,omitempty"`
	Rules    *rulesRequest    `json:"rules,omitempty"`
	Fetch    *fetchRequest    `json:"fetch,omitempty"`
	Push     *pushRequest     `json:"push,omitempty"`
	Order    *orderRequest    `json:"order,omitempty"`
}

// An answer has the field that its request has, or the reason why there is none: that is no verdict, but something amiss here.
type answer struct {
	Validate []verdict     `json:"validate,omitempty"`
	Rules    []string      `json:"rules,omitempty"`
	Fetch    *fetched      `json:"fetch,omitempty"`
	Push     []pushedImage `json:"push,omitempty"`
	Order    *ordered      `json:"order,omitempty"`
	Error    string        `json:"error,omitempty"`
}

func main() {
	var crds []string
	flag.Func("crds", "file with custom resource definitions, such as Istio's (manifests/charts/base/files/crd-all.gen.yaml); any number", func(path string) error {
		crds = append(crds, path)
		return nil
	})
	flag.Parse()
	if err := run(crds, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "judge: %v\n", err)
		os.Exit(1)
	}
}

func run(crds []string, in io.Reader, out io.Writer) error {
	if len(crds) == 0 {
		return errors.New("which definitions? Pass --crds FILE")
	}
	// Istio logs to standard output, which is for answers here.
	options := log.DefaultOptions()
	options.OutputPaths = []string{"stderr"}
	options.SetDefaultOutputLevel("all", log.NoneLevel)
	if err := log.Configure(options); err != nil {
		return fmt.Errorf("failed to configure Istio's log: %w", err)
	}
	judge := &judge{kinds: map[string]*kind{}}
	for _, path := range crds {
		definitions, err := readDefinitions(path)
		if err != nil {
			return fmt.Errorf("failed to read %s: %w", path, err)
		}
		judge.definitions = append(judge.definitions, definitions...)
	}

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
		reply, err := judge.answer(asked)
		if err != nil {
			reply = answer{Error: err.Error()}
		}
		if err := answers.Encode(reply); err != nil {
			return fmt.Errorf("failed to write an answer: %w", err)
		}
	}
}

func (j *judge) answer(asked request) (answer, error) {
	switch {
	case asked.Validate != nil:
		verdicts, err := j.validate(*asked.Validate)
		return answer{Validate: verdicts}, err
	case asked.Rules != nil:
		rules, err := j.rules(*asked.Rules)
		return answer{Rules: rules}, err
	case asked.Fetch != nil:
		fetched, err := fetch(*asked.Fetch)
		return answer{Fetch: &fetched}, err
	case asked.Push != nil:
		pushed, err := push(*asked.Push)
		return answer{Push: pushed}, err
	case asked.Order != nil:
		ordered, err := order(*asked.Order)
		return answer{Order: &ordered}, err
	default:
		return answer{}, errors.New("a request that asks nothing")
	}
}
