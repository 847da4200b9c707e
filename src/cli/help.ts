import type { CommandName } from './parse.ts'

const SETTINGS_FLAGS = `  --settings FILE       Settings of the installation (YAML). It is watched; flags win over it.
  --http ADDR           Listener "http": where requests are accepted. Default :8080
  --admin ADDR          Admin API. Default 127.0.0.1:9901; keep it off public addresses.
  --signals ADDR        /healthz, /readyz and /metrics. Default :9902
  --state DIR           Where what must outlive a restart is kept.
  --access-log on|off   One JSON line a request on standard output. off: only refused and failed ones.
                        Default on`

const ADDR = `ADDR is 127.0.0.1:8080, [::1]:8080, localhost:8080, or :8080 for every address; port 0 takes a free one.`

const OVERVIEW = `Headgate: an ingress controller and API gateway, for Kubernetes or for a folder of manifests.

Usage: headgate COMMAND [FLAGS]

  run        Serve what the manifests in a folder say, and follow their changes.
  validate   Say everything that is wrong with manifests, with file, line and remedy.
  routes     Print the routing table in the order in which it is matched.
  config     Print the settings in force and where each value comes from.
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
  run: `Serve what the manifests in a folder say, and follow their changes without losing a request.

Usage: headgate run --config DIR [FLAGS]
       headgate run --kubernetes [FLAGS]

  --config DIR          Folder with manifests: *.yaml, *.yml and *.json, also in subfolders. It may come later.
  --kubernetes          Read from the API server instead: in a pod by its service account, elsewhere by a kubeconfig.
  --kubeconfig FILE     Which kubeconfig; none: $KUBECONFIG, then ~/.kube/config. --context NAME for another than its current one.
${SETTINGS_FLAGS}
  --workers N           Threads that serve requests. 0: one for each core. Default 0
  --log-level LEVEL     trace, debug, info, warn, error, fatal or silent. Default info
  --log-format FORMAT   json or text, for the process log on standard error. Default json
  --drain-delay TIME    On SIGTERM: how long to go on accepting after /readyz says no. Default 1s
  --drain-timeout TIME  Then: how long running requests may take to end. Default 30s

${ADDR}
TIME is 30s, 1m30s or 250ms; 0 is none.

A manifest that is broken while Headgate runs changes nothing: its last good version serves on, and the log says what is
wrong and where. SIGTERM or Ctrl-C drains; a second one ends at once.

Examples:
  headgate run --config ./manifests
  headgate run --config ./manifests --http 127.0.0.1:3000 --workers 1 --log-format text
`,
  validate: `Say everything that is wrong with manifests: file, line, column, object, field, and what to do.

Usage: headgate validate DIR|FILE... [FLAGS]

  --settings FILE       Validate against these settings, and the settings themselves.
  -o, --output FORMAT   text or json. Default text

Errors are what keeps a file or an object from being served. Warnings are what a cluster would read otherwise, what two Routes
both want, and references to what is not there.

Exit code: 0 without errors, 1 with errors, 2 when the command line is not understood. Good for a pre-commit hook:
  headgate validate manifests || exit 1
`,
  routes: `Print the routing table in the order in which it is matched: the first line of a host that fits a request decides.

Usage: headgate routes --config DIR [FLAGS]

  --config DIR          Folder with manifests.
  --settings FILE       Settings of the installation.
  --host NAME           Only what serves this host. A host that is matched is final: there is no going on to a wildcard.
  -o, --output FORMAT   text or json. Default text

A path is written "/a/*" for a prefix by segment, "= /a" for exactly this one, "~ /a.+" for a regular expression.
`,
  config: `Print the settings in force, each value with where it comes from: a default, a line of the file, or a flag.

Usage: headgate config [FLAGS]

${SETTINGS_FLAGS}
  -o, --output FORMAT   yaml or json. Default yaml; this may be used as a settings file.

${ADDR}
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
