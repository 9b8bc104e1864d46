package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	api "istio.io/api/extensions/v1alpha1"
	typeapi "istio.io/api/type/v1beta1"
	"istio.io/istio/pilot/pkg/model"
	istionetworking "istio.io/istio/pilot/pkg/networking"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/test"
)

// Which plugins each of some workloads gets, of those in the documents.
type orderRequest struct {
	Documents string     `json:"documents"`
	Workloads []workload `json:"workloads"`
}

// A proxy, as its bootstrap tells istiod.
type workload struct {
	Namespace string            `json:"namespace"`
	Labels    map[string]string `json:"labels"`
	// sidecar, gateway or waypoint: the argument of pilot-agent.
	Role string `json:"role"`
}

type ordered struct {
	// The Gateways of the Gateway API, as namespace/name, with the label by which istiod marks their pods; none where it makes none.
	Gateways map[string]string `json:"gateways"`
	// The plugins on every port.
	Chains []chain `json:"chains"`
	// On two ports, all that Envoy is told of.
	Filters []filters `json:"filters"`
}

// A listener, as far as plugins can tell it from others.
type place struct {
	// Which of the request's.
	Workload int    `json:"workload"`
	Traffic  string `json:"traffic"`
	Layer    string `json:"layer"`
	Service  string `json:"service,omitempty"`
	Port     int    `json:"port"`
}

type chain struct {
	place
	// Phase, kind, namespace and name, in order.
	Plugins []string `json:"plugins"`
}

// As they follow one another in a chain (pilot/pkg/networking/core, PopAppend…).
var phases = []api.TrafficExtension_ExecutionPhase{
	api.TrafficExtension_AUTHN,
	api.TrafficExtension_AUTHZ,
	api.TrafficExtension_STATS,
	api.TrafficExtension_UNSPECIFIED,
}

func order(asked orderRequest) (ordered, error) {
	objects, err := everything(asked.Documents)
	if err != nil {
		return ordered{}, err
	}
	plugins, err := pluginsIn(objects)
	if err != nil {
		return ordered{}, err
	}
	gateways, err := gatewaysIn(objects)
	if err != nil {
		return ordered{}, err
	}
	for index, workload := range asked.Workloads {
		if workload.Namespace == "*" {
			asked.Workloads[index].Namespace = "a-namespace-without-plugins"
		}
	}
	answer := ordered{Gateways: gateways, Chains: []chain{}, Filters: []filters{}}
	// istiod's parts are put together by what its tests are made with; Wrap makes an error of what would fail one.
	err = test.Wrap(func(t test.Failer) {
		mesh, err := newMesh(t, objects, plugins, asked.Workloads)
		if err != nil {
			t.Fatal(err)
		}
		for index, workload := range asked.Workloads {
			for _, place := range mesh.placesOf(workload, plugins) {
				place.Workload = index
				answer.Chains = append(answer.Chains, chain{place, mesh.inOrder(workload, place)})
			}
			filters, err := mesh.filtersOf(index, workload)
			if err != nil {
				t.Fatal(err)
			}
			answer.Filters = append(answer.Filters, filters...)
		}
	})
	return answer, err
}

// The listeners that a proxy can have, as far as plugins tell them apart.
func (m *mesh) placesOf(workload workload, plugins []config.Config) []place {
	ports := map[int]bool{httpPort: true, tcpPort: true}
	for _, plugin := range plugins {
		for _, port := range portsOf(plugin.Spec) {
			ports[port] = true
		}
	}
	// No listener is on it.
	delete(ports, 0)
	traffics := map[string][]string{
		"sidecar":  {"inbound", "outbound"},
		"gateway":  {"gateway"},
		"waypoint": {"waypoint"},
	}
	var places []place
	for _, traffic := range traffics[workload.Role] {
		if traffic != "waypoint" {
			for _, port := range slices.Sorted(maps.Keys(ports)) {
				places = append(places, place{Traffic: traffic, Layer: "http", Port: port}, place{Traffic: traffic, Layer: "network", Port: port})
			}
			continue
		}
		for _, service := range append([]string{""}, m.handledBy(workload)...) {
			// Requests are handled before it is known which port they are for (listener_waypoint.go).
			places = append(places, place{Traffic: traffic, Layer: "http", Service: service})
			if service == "" {
				places = append(places, place{Traffic: traffic, Layer: "network"})
				continue
			}
			for _, port := range slices.Sorted(maps.Keys(ports)) {
				places = append(places, place{Traffic: traffic, Layer: "network", Service: service, Port: port})
			}
		}
	}
	return places
}

func portsOf(spec config.Spec) []int {
	var selectors []*typeapi.PortSelector
	switch spec := spec.(type) {
	case *api.WasmPlugin:
		for _, match := range spec.GetMatch() {
			selectors = append(selectors, match.GetPorts()...)
		}
	case *api.TrafficExtension:
		for _, match := range spec.GetMatch() {
			selectors = append(selectors, match.GetPorts()...)
		}
	}
	var ports []int
	for _, selector := range selectors {
		ports = append(ports, int(selector.GetNumber()))
	}
	return ports
}

// Asks as the builders of listeners do.
func (m *mesh) inOrder(workload workload, asked place) []string {
	classes := map[string]istionetworking.ListenerClass{
		"inbound":  istionetworking.ListenerClassSidecarInbound,
		"outbound": istionetworking.ListenerClassSidecarOutbound,
		"gateway":  istionetworking.ListenerClassGateway,
		"waypoint": istionetworking.ListenerClassSidecarInbound,
	}
	info := model.ListenerInfo{Port: asked.Port, Class: classes[asked.Traffic]}
	if asked.Service != "" {
		info = info.WithService(m.services[asked.Service])
	}
	layer := model.FilterChainTypeHTTP
	if asked.Layer == "network" {
		layer = model.FilterChainTypeNetwork
	}
	found := m.made.PushContext().TrafficExtensionsByListenerInfo(proxyOf(workload), info, layer)
	plugins := []string{}
	for _, phase := range phases {
		for _, plugin := range found[phase] {
			plugins = append(plugins, fmt.Sprintf("%s %s", phase, pluginCalled(plugin.Namespace, plugin.Name)))
		}
	}
	return plugins
}

// Kind, namespace and name, of what istiod may have made of a WasmPlugin.
func pluginCalled(namespace, name string) string {
	kind := "TrafficExtension"
	name, isTranslated := strings.CutSuffix(name, "~istio-translated-wasmplugin")
	if isTranslated {
		kind = "WasmPlugin"
	}
	return fmt.Sprintf("%s %s/%s", kind, namespace, name)
}
