package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
)

type rulesRequest struct {
	Kinds []string `json:"kinds"`
}

// Every constraint in the schemas of the given kinds, sorted, one a line: kind, version, path, keyword, value as JSON. Descriptions say
// nothing that a document could break.
func (j *judge) rules(asked rulesRequest) ([]string, error) {
	var rules []string
	for _, definition := range j.definitions {
		kind := definition.Spec.Names.Kind
		if !slices.Contains(asked.Kinds, kind) {
			continue
		}
		for _, version := range definition.Spec.Versions {
			text, err := json.Marshal(version.Schema.OpenAPIV3Schema)
			if err != nil {
				return nil, err
			}
			var schema map[string]any
			if err := json.Unmarshal(text, &schema); err != nil {
				return nil, err
			}
			found, err := constraints("", schema)
			if err != nil {
				return nil, err
			}
			for _, rule := range found {
				rules = append(rules, fmt.Sprintf("%s %s %s", kind, version.Name, rule))
			}
		}
	}
	sort.Strings(rules)
	return rules, nil
}

// The constraints of a schema and of all below it. A list's items are `[]`, the values of a map `{}`.
func constraints(path string, schema map[string]any) ([]string, error) {
	var rules []string
	below := func(part string, value any) error {
		child, ok := value.(map[string]any)
		if !ok {
			return fmt.Errorf("%s%s is no schema", path, part)
		}
		found, err := constraints(path+part, child)
		rules = append(rules, found...)
		return err
	}
	add := func(keyword string, value any) error {
		rule, err := line(path, keyword, value)
		rules = append(rules, rule)
		return err
	}
	for keyword, value := range schema {
		switch keyword {
		case "description":
		case "properties":
			properties, ok := value.(map[string]any)
			if !ok {
				return nil, fmt.Errorf("%s has no properties", path)
			}
			for name, property := range properties {
				if err := below("."+name, property); err != nil {
					return nil, err
				}
			}
		case "items":
			if err := below("[]", value); err != nil {
				return nil, err
			}
		case "additionalProperties":
			if err := below("{}", value); err != nil {
				return nil, err
			}
		case "x-kubernetes-validations":
			validations, ok := value.([]any)
			if !ok {
				return nil, fmt.Errorf("the validations of %s are no list", path)
			}
			for _, validation := range validations {
				if err := add(keyword, validation); err != nil {
					return nil, err
				}
			}
		default:
			if err := add(keyword, value); err != nil {
				return nil, err
			}
		}
	}
	return rules, nil
}

// Without the escapes for HTML that json.Marshal puts into patterns.
func line(path, keyword string, value any) (string, error) {
	if path == "" {
		path = "."
	}
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %s %s", path, keyword, strings.TrimSpace(text.String())), nil
}
