package main

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	wasmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/wasm/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gwapiv1 "sigs.k8s.io/gateway-api/apis/v1"

	egv1a1 "github.com/envoyproxy/gateway/api/v1alpha1"
	"github.com/envoyproxy/gateway/internal/gatewayapi"
	"github.com/envoyproxy/gateway/internal/logging"
	"github.com/envoyproxy/gateway/internal/wasm"
	"github.com/envoyproxy/gateway/internal/xds/translator"
	"github.com/envoyproxy/gateway/internal/xds/types"
)

// What becomes of documents.
type translated struct {
	// The conditions in the status of each policy, with a "not " before those that do not hold.
	Policies map[string][]string `json:"policies"`
	// The extensions of each route that has some, as POLICY/KIND, and the status that Envoy answers with by itself.
	Routes map[string][]string `json:"routes"`
	// What Envoy is told of plugins, by the same words.
	Plugins map[string]plugin `json:"plugins"`
	// Why documents are not admitted, and conditions do not hold.
	Said []string `json:"said"`
}

// A Wasm filter.
type plugin struct {
	Name          string          `json:"name"`
	RootID        string          `json:"rootId"`
	Configuration json.RawMessage `json:"configuration"`
	Environment   []string        `json:"environment"`
	FailOpen      bool            `json:"failOpen"`
	// In newer releases of Envoy it replaces the former, unless it is UNSPECIFIED.
	FailurePolicy string `json:"failurePolicy"`
	// Of the module.
	SHA256 string `json:"sha256"`
}

// translate does what Envoy Gateway does in a cluster that holds these documents and nothing else. No module is cached.
func translate(documents []byte) (*translated, error) {
	resources, refusals, err := load(documents)
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "tidegate-judge-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	logger := logging.DefaultLogger(io.Discard, egv1a1.LogLevelInfo)
	// It fetches without being started, which would open a port.
	server, cache := wasm.ServerOptions{Salt: []byte("salt")}, wasm.CacheOptions{CacheDir: folder}
	modules := wasm.NewHTTPServerWithFileCache(server, cache, controllerNamespace, logger)
	gateway := &gatewayapi.Translator{
		GatewayControllerName:   string(resources.GatewayClass.Spec.ControllerName),
		GatewayClassName:        gwapiv1.ObjectName(resources.GatewayClass.Name),
		ControllerNamespace:     controllerNamespace,
		EndpointRoutingDisabled: true,
		WasmCache:               modules,
		Logger:                  logger,
	}
	// An error is about a resource, whose status has it too.
	result, _ := gateway.Translate(context.Background(), resources)
	told := &translated{map[string][]string{}, map[string][]string{}, map[string]plugin{}, refusals}
	for _, policy := range result.EnvoyExtensionPolicies {
		var conditions []string
		for _, ancestor := range policy.Status.Ancestors {
			for _, condition := range ancestor.Conditions {
				if condition.Status == metav1.ConditionTrue {
					conditions = append(conditions, condition.Type)
				} else {
					conditions = append(conditions, "not "+condition.Type)
					told.Said = append(told.Said, condition.Message)
				}
			}
		}
		slices.Sort(conditions)
		told.Policies[policy.Name] = slices.Compact(conditions)
	}
	for _, xds := range result.XdsIR {
		envoy := &translator.Translator{ControllerNamespace: controllerNamespace, Logger: logger}
		table, err := envoy.Translate(context.Background(), xds)
		if err != nil {
			return nil, err
		}
		if err := told.read(table); err != nil {
			return nil, err
		}
	}
	return told, nil
}

// read adds what Envoy is told as the proxy of one gateway.
func (t *translated) read(table *types.ResourceVersionTable) error {
	for _, resource := range table.XdsResources[resourcev3.RouteType] {
		for _, host := range resource.(*routev3.RouteConfiguration).VirtualHosts {
			for _, r := range host.Routes {
				name := strings.Split(r.Name, "/")[2] // KIND/NAMESPACE/NAME/…
				for _, filter := range slices.Sorted(maps.Keys(r.TypedPerFilterConfig)) {
					t.Routes[name] = append(t.Routes[name], extension(filter))
				}
				if status := r.GetDirectResponse().GetStatus(); status != 0 {
					t.Routes[name] = append(t.Routes[name], strconv.Itoa(int(status)))
				}
			}
		}
	}
	for _, resource := range table.XdsResources[resourcev3.ListenerType] {
		listener := resource.(*listenerv3.Listener)
		for _, chain := range append(listener.FilterChains, listener.DefaultFilterChain) {
			for _, filter := range chain.GetFilters() {
				var manager hcmv3.HttpConnectionManager
				if !filter.GetTypedConfig().MessageIs(&manager) {
					continue
				}
				if err := filter.GetTypedConfig().UnmarshalTo(&manager); err != nil {
					return err
				}
				if err := t.plugins(manager.HttpFilters); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// extension is POLICY/KIND of a filter called PREFIX/envoyextensionpolicy/NAMESPACE/POLICY/KIND/INDEX, and all others as they are.
func extension(filter string) string {
	words := strings.Split(filter, "/")
	if len(words) != 6 {
		return filter
	}
	return words[3] + "/" + words[4]
}

func (t *translated) plugins(filters []*hcmv3.HttpFilter) error {
	for _, filter := range filters {
		var read wasmv3.Wasm
		if !filter.GetTypedConfig().MessageIs(&read) {
			continue
		}
		if err := filter.GetTypedConfig().UnmarshalTo(&read); err != nil {
			return err
		}
		var configuration wrapperspb.StringValue
		if err := read.Config.Configuration.UnmarshalTo(&configuration); err != nil {
			return err
		}
		machine := read.Config.GetVmConfig()
		told := json.RawMessage(configuration.Value)
		if len(told) == 0 {
			told = json.RawMessage("null")
		}
		t.Plugins[extension(filter.Name)] = plugin{
			Name:          read.Config.Name,
			RootID:        read.Config.RootId,
			Configuration: told,
			Environment:   append([]string{}, machine.GetEnvironmentVariables().GetHostEnvKeys()...),
			FailOpen:      read.Config.FailOpen,
			FailurePolicy: read.Config.FailurePolicy.String(),
			SHA256:        machine.GetCode().GetRemote().GetSha256(),
		}
	}
	return nil
}
