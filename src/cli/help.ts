import type { CommandName } from './parse.ts'

const SETTINGS_FLAGS = `  --settings FILE       Settings of the installation (YAML). The file is watched; flags override it.
  --http ADDR           Address of the listener "http". Default :8080
  --admin ADDR          Admin API. Default 127.0.0.1:9901; keep it off public addresses.
  --signals ADDR        /healthz, /readyz and /metrics. Default :9902
  --state DIR           State directory, for state that outlives a restart.
  --zone NAME           Zone of this process, for Backends with zoneAware. Default: of its pod, in a cluster
  --replica N/COUNT     Its number among so many, for Backends with subsetSize. Default: of its pod, in a cluster
  --access-log on|off   One JSON line per request on standard output. off: only rejected and failed requests.
                        Default on`

const ADDR = `ADDR is 127.0.0.1:8080, [::1]:8080, localhost:8080, or :8080 for every address; port 0 selects a free port.`

const OVERVIEW = `Headgate: an ingress controller and API gateway, for Kubernetes or for a folder of manifests.

Usage: headgate COMMAND [FLAGS]

  run        Serve the manifests of a folder or a cluster, and apply their changes.
  validate   Report all errors of manifests, with file, line and remedy.
  routes     Print the routing table in matching order.
  backends   Print which endpoints of each Backend get requests, and why others do not.
  explain    Print what a running gateway would do with a request, and why: rule, filters, cache.
  config     Print the effective settings and the origin of each value.
  cert       Make a certificate of a local authority, for trying things.
  token      Make keys, clients and hashes for the Secrets of a token issuer and of API keys.
  cache      Purge the HTTP cache of a running gateway, show what is in it, fill it ahead.
  version    Print the version.
  help       Explain a command: headgate help run

A first route:
  mkdir demo && cat > demo/route.yaml <<'END'
  apiVersion: headgate.dev/v1alpha1
  kind: Route
  metadata: { name: hello }
  spec: { rules: [{ name: all, respond: { statusCode: 200, body: "hello\\n" } }] }
  END
  headgate run --config demo      # and in another terminal: curl localhost:8080
`

const TOPICS: Readonly<Record<CommandName, string>> = {
  run: `Serve the manifests of a folder or a cluster, and apply their changes without failing a request.

Usage: headgate run --config DIR [FLAGS]
       headgate run --kubernetes [FLAGS]

  --config DIR          Folder with manifests: *.yaml, *.yml and *.json, also in subfolders. It may be created later.
  --kubernetes          Read from the API server instead: in a pod with its service account, else with a kubeconfig.
  --kubeconfig FILE     Kubeconfig file. Default $KUBECONFIG, then ~/.kube/config. --context NAME selects a context.
${SETTINGS_FLAGS}
  --workers N           Threads that serve requests. 0: one per core. Default 0
  --log-level LEVEL     trace, debug, info, warn, error, fatal or silent. Default info
  --log-format FORMAT   json or text, for the process log on standard error. Default json
  --drain-delay TIME    Time from SIGTERM, when /readyz fails, until the listeners close. Default 1s
  --drain-timeout TIME  Time from then for open requests to finish. Default 30s

${ADDR}
TIME is 30s, 1m30s or 250ms; 0 disables it.

HTTPS needs settings with a listener that has tls, and a certificate in the folder: NAME.crt with NAME.key is the Secret
NAME that a Route names in tls.certificates, NAME.ca.crt and NAME.crl are NAME-ca and NAME-crl for client certificates.

A manifest that becomes invalid while Headgate runs changes nothing: its last good version keeps serving, and the log
contains the error and its location. SIGTERM or Ctrl-C drains; a second one ends the process immediately.

Examples:
  headgate run --config ./manifests
  headgate run --config ./manifests --http 127.0.0.1:3000 --workers 1 --log-format text
  printf '%s\\n' 'listeners:' '- { name: http, port: 8080 }' '- { name: https, port: 8443, tls: {} }' > settings.yaml
  headgate cert shop.localhost --secret shop --out ./manifests
  headgate run --config ./manifests --settings settings.yaml
`,
  validate: `Report all errors of manifests: file, line, column, object, field, and the remedy.

Usage: headgate validate DIR|FILE... [FLAGS]

  --settings FILE       Validate against these settings, and the settings themselves.
  -o, --output FORMAT   text or json. Default text

Files are read as far as the gateway has memory for them: by limits.memory of the settings, else that of this machine.

Errors prevent a file or an object from being served. Warnings report values that a cluster reads differently, conflicts
between Routes, and references to missing objects.

Exit code: 0 without errors, 1 with errors, 2 for an invalid command line. As a pre-commit hook:
  headgate validate manifests || exit 1
`,
  routes: `Print the routing table in matching order: the first line of a host that matches a request applies.

Usage: headgate routes --config DIR [FLAGS]

  --config DIR          Folder with manifests.
  --settings FILE       Settings of the installation.
  --host NAME           Only the rules of this host. A matching host is final: there is no fallback to a wildcard.
  -o, --output FORMAT   text or json. Default text

A path is printed as "/a/*" for a prefix of segments, "= /a" for an exact path, "~ /a.+" for a regular expression.
`,
  backends: `Print, of a running gateway, which endpoints of each Backend get requests, and why the others do not.

Usage: headgate backends [NAME...] [FLAGS]

  NAME                  A Backend, as namespace/name, or a namespace. Default all
  --admin ADDR          Admin API of the gateway. Default 127.0.0.1:9901
  --out                 Only endpoints that are out, or used although something is wrong.
  -o, --output FORMAT   text or json. Default text

A Service that a rule names directly is service:namespace/name:port. In a cluster the admin API is open inside the pod
only:
  kubectl exec --namespace headgate-system deploy/headgate -- headgate backends --out
`,
  explain: `Print what a running gateway would do with a request, and why. Nothing is sent to any Backend.

Usage: headgate explain URL [FLAGS]

  URL                   As a client has it: its host finds the rule. It need not lead to the gateway.
  -X, --request METHOD  Default GET
  -H, --header 'N: V'   A header of the request; several times. Host takes the place of that of the URL.
  --client ADDRESS      Of the client. Default 127.0.0.1
  --listener NAME       Which accepts it. Default that with the port of the URL, or else with its scheme
  --admin ADDR          Admin API of the gateway. Default 127.0.0.1:9901
  --token-file FILE     Its token: the first line that is no comment. Default $HEADGATE_ADMIN_TOKEN
  -o, --output FORMAT   text or json. Default text

It says which rule has the request and why others with its path do not, what each filter would do, and of the cache the
key, the verdict, why, and what is stored. Credentials are not verified but taken for accepted, and they are not shown.

Exit code: 0 when it is explained, 1 when it is not, 2 for an invalid command line.

Examples:
  headgate explain https://shop.example/products/42
  headgate explain https://shop.example/a -X PUT -H 'cache-control: no-cache' -o json
`,
  config: `Print the effective settings, each value with its origin: a default, a line of the file, or a flag.

Usage: headgate config [FLAGS]

${SETTINGS_FLAGS}
  -o, --output FORMAT   yaml or json. Default yaml, which is a valid settings file.

${ADDR}
`,
  cert: `Make a certificate of a local authority, for trying things. Production certificates come from elsewhere.

Usage: headgate cert NAME... [FLAGS]

  NAME                  A hostname, a wildcard such as *.example.com, or an IP address; the certificate is for all of them.
  --client              For a client instead of a server: NAME is its common name.
  --out DIR             Folder for NAME.crt and NAME.key. In a folder of manifests they are the Secret NAME. Default .
  --secret NAME         Another name for the Secret and its files. Default the first NAME
  -o, --output FORMAT   files, or secret: the manifest of the Secret on standard output. Default files
  --days N              Days until it expires. Default 365
  --rsa                 An RSA key with 2048 bits instead of ECDSA P-256.
  --ca DIR              Folder of the authority, made at its first use. Default ~/.local/share/headgate/ca

Whoever trusts the authority trusts every certificate made with its key: keep its folder to yourself.

Examples:
  headgate cert shop.example.com --out manifests
  headgate cert shop.example.com '*.shop.example.com' -o secret | kubectl apply -f -
  curl --cacert ~/.local/share/headgate/ca/ca.crt https://shop.example.com:8443
`,
  token: `Make what goes into the Secrets of a token issuer (docs/token-issuer.md) and of API keys (docs/auth.md).

Usage: headgate token key [FLAGS]             A key that signs tokens.
       headgate token client NAME [FLAGS]     A client, and its secret on standard error, shown once.
       headgate token hash [--random]         The hash of a secret from standard input, or of a random one.

  --algorithm NAME      key: ES256, EdDSA or RS256. Default ES256
  --starts-in TIME      key: when it begins to sign, so that it is published before. Default 15m
  --audience LIST       client: what its tokens may be for, with commas between them.
  --scope WORDS         client: what it may be granted, with spaces between them.
  --refresh             client: it gets refresh tokens.
  --introspect          client: it may introspect tokens of other clients.
  --secret NAME         Name of the Secret. Default issuer-keys, issuer-clients
  --namespace NAME      Of the Secret.
  -o, --output FORMAT   secret: the manifest of a Secret; entry: a line for stringData of one that is there. Default secret

Examples:
  headgate token key | kubectl apply -n shop -f -
  headgate token client billing --audience orders --scope 'orders:read orders:write' --refresh > clients.yaml
  printf %s "$KEY" | headgate token hash
`,
  cache: `Purge the HTTP cache of a running gateway, show what is in it, and fill it ahead (docs/purging.md).

Usage: headgate cache purge URL... [FLAGS]                     All variants of each URL.
       headgate cache purge --prefix URL... [FLAGS]            All below a path, by whole segments.
       headgate cache purge --namespace NAME --tag LIST        All with one of the tags.
       headgate cache purge --namespace NAME --route NAME      All of a Route; with --rule, of one rule.
       headgate cache purge --namespace NAME --all             All of the namespace.
       headgate cache show URL...                              What a purge of the same would concern; also --tag, --all.
       headgate cache stats                                    Hits and misses, and what the memory holds.
       headgate cache warm URL... | --file FILE                Request each URL, so that the cache has it.

  --admin ADDR          Admin API of the gateway. Default 127.0.0.1:9901
  --token-file FILE     Its token: the first line that is no comment. Default $HEADGATE_ADMIN_TOKEN. stats needs none
  --namespace NAME      purge, show: whose objects. Default, for URLs: those of each rule that the host leads to
  --prefix              purge, show: the URLs are prefixes; no * at the end, which would stand for itself.
  --soft                purge: they become stale, and may be served while they are fetched anew.
  --tag LIST            purge, show: with commas between them.
  --file FILE           warm: one URL a line; - is standard input.
  --rate N              warm: requests a second, of all replicas together, 1 to 1000. Default 50
  --replica NAME        show, stats, warm: one replica alone. Default: all of them, each by its name
  -o, --output FORMAT   text or json. Default text

Exit code: 0 when it is done everywhere, 1 when it is not, or not in every replica, or show finds nothing in memory (what
is in Redis or files alone headgate explain says), 2 for an invalid command line. In a cluster the admin API is open
inside the pod only; the pod that is asked tells the others:
  kubectl exec --namespace headgate-system deploy/headgate -- \\
    headgate cache purge https://shop.example/a --token-file /etc/headgate/token
`,
  version: `Print the version of Headgate and of Node.js.

Usage: headgate version
`,
  help: `Explain a command.

Usage: headgate help [COMMAND]
`,
}

export function helpText(topic?: CommandName): string {
  return topic === undefined ? OVERVIEW : TOPICS[topic]
}
