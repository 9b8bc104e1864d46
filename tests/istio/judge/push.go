package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

// Where to push images of every shape, and of what.
type pushRequest struct {
	// The address of a registry without credentials, on plain http.
	Registry string `json:"registry"`
	// Files: a Proxy-Wasm module that Envoy runs, and the component that it was made of.
	Module    string `json:"module"`
	Component string `json:"component"`
}

// An image that was pushed, and what is to become of it.
type pushedImage struct {
	Name string `json:"name"`
	// Without scheme, with a tag.
	Reference string `json:"reference"`
	// That of what the tag names.
	Digest string `json:"digest"`
	// That of the manifest, where the tag names an index.
	Child string `json:"child,omitempty"`
	// Whether Istio's agent hands the module to Envoy.
	Agent bool `json:"agent"`
	// Whether Envoy then runs it.
	Envoy bool `json:"envoy"`
}

// An image as its parts, whatever they are.
type image struct {
	name         string
	agent, envoy bool
	manifestType string
	// Whether the manifest says its own type, as most do.
	untyped bool
	config  part
	layers  []part
	// Where set, the tag names an index with this as the manifest's platform.
	platform map[string]string
}

type part struct {
	mediaType string
	content   []byte
}

const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerConfig   = "application/vnd.docker.container.image.v1+json"
	dockerLayer    = "application/vnd.docker.image.rootfs.diff.tar.gzip"
	ociManifest    = "application/vnd.oci.image.manifest.v1+json"
	ociIndex       = "application/vnd.oci.image.index.v1+json"
	ociConfig      = "application/vnd.oci.image.config.v1+json"
	ociLayer       = "application/vnd.oci.image.layer.v1.tar+gzip"
	wasmConfig     = "application/vnd.module.wasm.config.v1+json"
	wasmLayer      = "application/vnd.module.wasm.content.layer.v1+wasm"
	cncfConfig     = "application/vnd.wasm.config.v0+json"
	cncfLayer      = "application/wasm"
)

func push(asked pushRequest) ([]pushedImage, error) {
	module, err := os.ReadFile(asked.Module)
	if err != nil {
		return nil, err
	}
	component, err := os.ReadFile(asked.Component)
	if err != nil {
		return nil, err
	}
	images, err := images(module, component)
	if err != nil {
		return nil, err
	}
	pushed := make([]pushedImage, 0, len(images))
	for _, image := range images {
		one, err := image.push(asked.Registry)
		if err != nil {
			return nil, fmt.Errorf("failed to push %s: %w", image.name, err)
		}
		pushed = append(pushed, one)
	}
	return pushed, nil
}

// Every shape that people make, with what the agent and then Envoy do with it.
func images(module, component []byte) ([]image, error) {
	tarred := archive("plugin.wasm", module)
	zipped := compress(tarred)
	readme := compress(archive("README.md", []byte("# A plugin\n")))
	otherImport, err := with(module, "proxy_log", "proxy_lag")
	if err != nil {
		return nil, err
	}
	noMarker, err := with(module, "proxy_abi_version_0_2_1", "proxy_abi_version_9_9_9")
	if err != nil {
		return nil, err
	}

	compat := func(name string, agent, envoy bool, layers ...part) image {
		return image{name: name, agent: agent, envoy: envoy, manifestType: ociManifest, config: part{ociConfig, configuration(layers)}, layers: layers}
	}
	artifact := func(name string, agent bool, layers ...part) image {
		return image{name: name, agent: agent, envoy: agent, manifestType: ociManifest, config: part{wasmConfig, []byte("{}")}, layers: layers}
	}
	docker := func(name string, agent bool, layers ...part) image {
		return image{name: name, agent: agent, envoy: agent, manifestType: dockerManifest, config: part{dockerConfig, configuration(layers)}, layers: layers}
	}
	described := part{wasmConfig, []byte(`{"type":"envoy_proxy"}`)}
	bare := part{wasmLayer, module}

	untyped := compat("compat-without-media-type", true, true, part{ociLayer, zipped})
	untyped.untyped = true
	index := compat("index", true, true, part{ociLayer, zipped})
	index.platform = map[string]string{"os": "linux", "architecture": "amd64"}
	indexOfWasm := compat("index-of-wasm-alone", false, false, part{ociLayer, zipped})
	indexOfWasm.platform = map[string]string{"os": "wasi", "architecture": "wasm"}
	cncf := artifact("cncf", false, part{cncfLayer, component})
	cncf.config = part{cncfConfig, []byte(`{"created":"2026-01-01T00:00:00Z","architecture":"wasm","os":"wasip2","layerDigests":["` + digest(component) + `"]}`)}

	return []image{
		docker("docker", true, part{dockerLayer, zipped}),
		docker("docker-of-two-layers", true, part{dockerLayer, readme}, part{dockerLayer, zipped}),
		docker("docker-with-oci-layer", false, part{ociLayer, zipped}),
		compat("compat", true, true, part{ociLayer, zipped}),
		compat("compat-in-folder", true, true, part{ociLayer, compress(archive("opt/filters/plugin.wasm", module))}),
		compat("compat-of-two-layers", true, true, part{ociLayer, readme}, part{ociLayer, zipped}),
		untyped,
		index,
		compat("long-path", true, true, part{ociLayer, compress(archive(strings.Repeat("folder/", 40)+"plugin.wasm", module))}),
		compat("gzip-of-two-members", true, true, part{ociLayer, append(compress(tarred[:1000]), compress(tarred[1000:])...)}),
		compat("bytes-after-gzip", true, true, part{ociLayer, append(bytes.Clone(zipped), "rest"...)}),
		artifact("artifact", true, described, bare),
		artifact("artifact-with-module-first", true, bare, described),

		indexOfWasm,
		cncf,
		artifact("artifact-of-one-layer", false, bare),
		artifact("artifact-of-three-layers", false, described, bare, part{"text/plain", []byte("one too many\n")}),
		compat("module-not-in-last-layer", false, false, part{ociLayer, zipped}, part{ociLayer, readme}),
		compat("other-file-name", false, false, part{ociLayer, compress(archive("module.wasm", module))}),
		compat("uncompressed", false, false, part{"application/vnd.oci.image.layer.v1.tar", tarred}),
		compat("zstd", false, false, part{"application/vnd.oci.image.layer.v1.tar+zstd", zipped}),
		compat("docker-layer-in-oci-manifest", false, false, part{dockerLayer, zipped}),
		compat("no-gzip", false, false, part{ociLayer, tarred}),
		compat("cut-gzip", false, false, part{ociLayer, zipped[:len(zipped)/2]}),
		compat("no-layers", false, false),
		compat("link-before-module", false, false, part{ociLayer, compress(entries(tar.Header{Name: "plugin.wasm", Typeflag: tar.TypeSymlink, Linkname: "rootfs/plugin.wasm"}, module))}),
		compat("folder-before-module", false, false, part{ociLayer, compress(entries(tar.Header{Name: "plugin.wasm/", Typeflag: tar.TypeDir}, module))}),
		compat("file-name-in-capitals", false, false, part{ociLayer, compress(archive("Plugin.wasm", module))}),
		compat("no-wasm", false, false, part{ociLayer, compress(archive("plugin.wasm", []byte("#!/bin/sh\nexit 0\n")))}),
		compat("four-bytes", false, false, part{ociLayer, compress(archive("plugin.wasm", module[:4]))}),

		compat("component", true, false, part{ociLayer, compress(archive("plugin.wasm", component))}),
		compat("unknown-import", true, false, part{ociLayer, compress(archive("plugin.wasm", otherImport))}),
		compat("no-abi-marker", true, false, part{ociLayer, compress(archive("plugin.wasm", noMarker))}),
		compat("cut-module", true, false, part{ociLayer, compress(archive("plugin.wasm", module[:len(module)/2]))}),
	}, nil
}

// The module with one name for another of the same length, so that it stays valid.
func with(module []byte, old, new string) ([]byte, error) {
	if !bytes.Contains(module, []byte(old)) {
		return nil, fmt.Errorf("the module does not say %s", old)
	}
	return bytes.ReplaceAll(module, []byte(old), []byte(new)), nil
}

func archive(name string, content []byte) []byte {
	return entries(tar.Header{Name: name}, content)
}

// An archive whose first entry is given; a plain file of that content follows where the first has none of its own.
func entries(first tar.Header, content []byte) []byte {
	var file bytes.Buffer
	writer := tar.NewWriter(&file)
	headers := []tar.Header{first}
	if first.Typeflag != 0 {
		headers = append(headers, tar.Header{Name: "rootfs/plugin.wasm"})
	}
	for _, header := range headers {
		header.Mode = 0o644
		if header.Typeflag == 0 {
			header.Size = int64(len(content))
		}
		// Writing to memory does not fail.
		_ = writer.WriteHeader(&header)
		if header.Typeflag == 0 {
			_, _ = writer.Write(content)
		}
	}
	_ = writer.Close()
	return file.Bytes()
}

func compress(content []byte) []byte {
	var file bytes.Buffer
	writer := gzip.NewWriter(&file)
	_, _ = writer.Write(content)
	_ = writer.Close()
	return file.Bytes()
}

// A configuration as of any container image. Nobody here reads its digests of uncompressed layers, so those of the compressed ones do.
func configuration(layers []part) []byte {
	digests := []string{}
	for _, layer := range layers {
		digests = append(digests, digest(layer.content))
	}
	text, _ := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux", "config": map[string]any{},
		"rootfs": map[string]any{"type": "layers", "diff_ids": digests},
	})
	return text
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

type descriptor struct {
	MediaType string            `json:"mediaType"`
	Digest    string            `json:"digest"`
	Size      int               `json:"size"`
	Platform  map[string]string `json:"platform,omitempty"`
}

func (p part) descriptor() descriptor {
	return descriptor{MediaType: p.mediaType, Digest: digest(p.content), Size: len(p.content)}
}

// By hand, over the registry's API: a library would mend what is meant to be wrong.
func (i image) push(registry string) (pushedImage, error) {
	repository := "http://" + registry + "/v2/judge/" + i.name
	layers := []descriptor{}
	for _, part := range append([]part{i.config}, i.layers...) {
		if err := upload(repository, part.content); err != nil {
			return pushedImage{}, err
		}
	}
	for _, layer := range i.layers {
		layers = append(layers, layer.descriptor())
	}
	manifest := map[string]any{"schemaVersion": 2, "config": i.config.descriptor(), "layers": layers}
	if !i.untyped {
		manifest["mediaType"] = i.manifestType
	}
	text, err := json.Marshal(manifest)
	if err != nil {
		return pushedImage{}, err
	}
	pushed := pushedImage{Name: i.name, Reference: registry + "/judge/" + i.name + ":v1", Digest: digest(text), Agent: i.agent, Envoy: i.envoy}
	if i.platform == nil {
		return pushed, put(repository+"/manifests/v1", i.manifestType, text)
	}
	if err := put(repository+"/manifests/"+pushed.Digest, i.manifestType, text); err != nil {
		return pushedImage{}, err
	}
	child := part{i.manifestType, text}.descriptor()
	child.Platform = i.platform
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": ociIndex, "manifests": []descriptor{child}})
	if err != nil {
		return pushedImage{}, err
	}
	pushed.Child, pushed.Digest = pushed.Digest, digest(index)
	return pushed, put(repository+"/manifests/v1", ociIndex, index)
}

func upload(repository string, content []byte) error {
	begun, err := http.Post(repository+"/blobs/uploads/", "", nil)
	if err != nil {
		return err
	}
	begun.Body.Close()
	if begun.StatusCode != http.StatusAccepted {
		return fmt.Errorf("the registry begins no upload: %s", begun.Status)
	}
	location, err := begun.Location()
	if err != nil {
		return err
	}
	query := location.Query()
	query.Set("digest", digest(content))
	location.RawQuery = query.Encode()
	return put(location.String(), "application/octet-stream", content)
}

func put(url, mediaType string, content []byte) error {
	request, err := http.NewRequest(http.MethodPut, url, bytes.NewReader(content))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", mediaType)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusCreated {
		why, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
		return fmt.Errorf("the registry answers %s: %s", response.Status, strings.TrimSpace(string(why)))
	}
	return nil
}
