//go:build tools

// Package tools keeps Istio's control plane and agent among this module's dependencies, so that the mesh of `cargo xtask e2e mesh`
// is built from the very source that the judge is.
package tools

import (
	_ "istio.io/istio/pilot/cmd/pilot-agent"
	_ "istio.io/istio/pilot/cmd/pilot-discovery"
)
