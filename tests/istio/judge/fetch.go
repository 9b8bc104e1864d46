package main

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"time"

	"istio.io/istio/pkg/wasm"
)

// What istiod tells the agent of a plugin's code.
type fetchRequest struct {
	URL    string `json:"url"`
	SHA256 string `json:"sha256"`
	// The content of a secret of type kubernetes.io/dockerconfigjson; base64 on the wire.
	PullSecret []byte `json:"pullSecret"`
}

// The module that Envoy would be given, or what the agent says instead.
type fetched struct {
	SHA256  string `json:"sha256,omitempty"`
	Size    int    `json:"size,omitempty"`
	Refusal string `json:"refusal,omitempty"`
}

// The time that istiod gives the agent (pilot/pkg/model/extensions.go).
const fetchTimeout = 30 * time.Second

// As the agent of a pod that has just started: its cache is empty, so that it fetches whatever the pull policy, and its options are
// the defaults.
func fetch(asked fetchRequest) (fetched, error) {
	folder, err := os.MkdirTemp("", "tidegate-judge-")
	if err != nil {
		return fetched{}, err
	}
	defer os.RemoveAll(folder)
	cache := wasm.NewLocalFileCache(folder, wasm.Options{})
	defer cache.Cleanup()
	path, err := cache.Get(asked.URL, wasm.GetOptions{
		Checksum:        asked.SHA256,
		ResourceName:    "judge",
		ResourceVersion: "1",
		RequestTimeout:  fetchTimeout,
		PullSecret:      asked.PullSecret,
	})
	if err != nil {
		return fetched{Refusal: err.Error()}, nil
	}
	module, err := os.ReadFile(path)
	if err != nil {
		return fetched{}, err
	}
	digest := sha256.Sum256(module)
	return fetched{SHA256: hex.EncodeToString(digest[:]), Size: len(module)}, nil
}
