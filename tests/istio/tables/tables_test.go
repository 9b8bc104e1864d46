// Package tables compares the tables of verdicts, by which `tidegate check` is tested without Go, with what Go says.
package tables

import (
	"bufio"
	"encoding/json"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// The rule that the CRDs have for `url`, over the functions that it calls (k8s.io/apiserver/pkg/cel/library/urls.go).
func admitted(text string) bool {
	if _, err := url.ParseRequestURI(text); err != nil {
		text = "http://" + text
		if _, err := url.ParseRequestURI(text); err != nil {
			return false
		}
	}
	parsed, err := url.Parse(text)
	return err == nil && slices.Contains([]string{"", "http", "https", "oci", "file"}, parsed.Scheme)
}

func TestUrlsHaveGosVerdicts(t *testing.T) {
	for _, line := range lines(t, "urls.jsonl") {
		var row []any
		if err := json.Unmarshal([]byte(line), &row); err != nil || len(row) != 2 {
			t.Fatalf("no URL and verdict: %s", line)
		}
		if verdict := admitted(row[0].(string)); verdict != row[1].(bool) {
			t.Errorf("%q: Go says %v", row[0], verdict)
		}
	}
}

func TestScalarsAreWhatKubernetesReads(t *testing.T) {
	for _, line := range lines(t, "scalars.tsv") {
		row := strings.Split(line, "\t")
		if len(row) != 3 {
			t.Fatalf("no row of three: %s", line)
		}
		if value := value(row[0]); value != row[1] {
			t.Errorf("the value %s is %s", row[0], value)
		}
		if key := key(row[0]); key != row[2] {
			t.Errorf("the key %s is %s", row[0], key)
		}
	}
}

// A scalar as JSON, or `!`.
func value(written string) string {
	text, err := yaml.YAMLToJSON([]byte("v: " + written + "\n"))
	if err != nil {
		return "!"
	}
	return strings.TrimSuffix(strings.TrimPrefix(string(text), `{"v":`), "}")
}

// A scalar as the name of a field, or `!`.
func key(written string) string {
	text, err := yaml.YAMLToJSON([]byte(written + ": v\n"))
	if err != nil {
		return "!"
	}
	var fields map[string]string
	if err := json.Unmarshal(text, &fields); err != nil {
		return "!"
	}
	for name := range fields {
		return name
	}
	return "!"
}

func lines(t *testing.T, name string) []string {
	file, err := os.Open("../../../deploy/tests/tables/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var lines []string
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		lines = append(lines, scanner.Text())
	}
	if len(lines) < 100 {
		t.Fatalf("%s has %d lines: is it read right?", name, len(lines))
	}
	return lines
}
