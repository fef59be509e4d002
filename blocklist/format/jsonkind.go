package format

// kindOfJSON judges a JSON document by its head: the first member that one
// kind alone has decides. It is kindJSON for a document of none.
func kindOfJSON(head []byte) Kind {
	j := &jsonStream{in: &lines{buf: head, end: len(head), over: true}}
	if kind := kindOfMembers(j, 0); kind != "" {
		return kind
	}
	return kindJSON
}

// kindOfMembers looks for that member in the value that stands here.
func kindOfMembers(j *jsonStream, depth int) (kind Kind) {
	if j.isArray() {
		for range j.elements {
			if kind = kindOfMembers(j, depth); kind != "" {
				return kind
			}
		}
		return ""
	}
	for name := range j.members {
		kind = kindOfMember(string(name), depth)
		switch {
		case kind != "":
		case depth == 0 && string(name) == "type":
			if string(j.scalar()) == "bundle" {
				kind = STIX
			}
		default:
			kind = kindOfMembers(j, depth+1)
		}
		if kind != "" {
			return kind
		}
	}
	return ""
}

func kindOfMember(name string, depth int) Kind {
	switch name {
	case "spec_version", "pattern", "object_refs":
		return STIX
	case "objects":
		if depth == 0 {
			return STIX
		}
	case "Event", "Attribute", "Orgc", "to_ids":
		return MISP
	case "response":
		if depth == 0 {
			return MISP
		}
	case "ioc", "ioc_value", "ioc_type":
		return ThreatFox
	case "dateadded", "url_status", "urlhaus_link", "urlhaus_reference":
		return URLhaus
	}
	return ""
}
