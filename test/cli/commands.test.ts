import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, describe, it } from 'node:test'
import { parse } from 'yaml'
import { packageVersion, runCommand } from '../../src/cli/commands.ts'
import type { Finding } from '../../src/cli/finding.ts'
import { COMMAND_NAMES, parseCommand } from '../../src/cli/parse.ts'

const root = mkdtempSync(join(tmpdir(), 'headgate-cli-'))
after(() => rmSync(root, { recursive: true, force: true }))

/** What a user sees of one command. */
async function headgate(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  const command = parseCommand(argv)
  assert.notEqual(command.name, 'run')
  let out = ''
  let err = ''
  const io = { out: (text: string) => void (out += text), err: (text: string) => void (err += text) }
  const code = command.name === 'run' ? -1 : await runCommand(command, io)
  return { code, out, err }
}

let folders = 0

/** A folder of its own with these files. */
function folder(files: Record<string, string>): string {
  const path = join(root, `f${folders++}`)
  mkdirSync(path)
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(path, name)), { recursive: true })
    writeFileSync(join(path, name), text)
  }
  return path
}

const ROUTE = `apiVersion: headgate.dev/v1alpha1
kind: Route
metadata: { name: api, namespace: shop }
spec:
  hostnames: [shop.example.com]
  rules:
  - name: api
    matches:
    - path: { type: PathPrefix, value: /api }
    - path: { type: Exact, value: /health }
      method: GET
    backendRefs:
    - { name: api, weight: 90 }
    - { name: canary, weight: 10 }
  - name: rest
    respond: { statusCode: 200, body: rest }
`

const BACKENDS = ['api', 'canary']
  .map(
    (name) => `---
apiVersion: headgate.dev/v1alpha1
kind: Backend
metadata: { name: ${name}, namespace: shop }
spec: { endpoints: [{ address: 127.0.0.1, port: 9000 }] }
`,
  )
  .join('')

describe('headgate validate', () => {
  it('reports valid manifests, and exits with 0', async () => {
    const { code, out, err } = await headgate('validate', folder({ 'a.yaml': ROUTE + BACKENDS }))
    assert.deepEqual([code, out, err], [0, '3 objects in 1 file: all valid.\n', ''])
  })

  it('reports file, line, column, object, field and remedy of every error, and exits with 1', async () => {
    const path = folder({
      'a/route.yaml': ROUTE.replace('matches:', 'mathces:').replace('statusCode: 200', 'statusCode: many'),
      'broken.yaml': 'kind: Route\nkind: Backend\n',
      'backends.yaml': BACKENDS,
    })
    const { code, out } = await headgate('validate', path)
    assert.equal(code, 1)
    const lines = out.trimEnd().split('\n')
    assert.match(
      lines[0]!,
      /a\/route\.yaml:8:5: error: Route shop\/api: spec\.rules\[0\]\.mathces: .*matches.* \(Unknown\)$/,
    )
    assert.match(
      lines[1]!,
      /a\/route\.yaml:16:16: error: Route shop\/api: spec\.rules\[1\]\.respond\.statusCode: .*\(Type\)$/,
    )
    assert.match(lines[2]!, /broken\.yaml:2:1: error: Not valid YAML or JSON: this key occurs twice/)
    assert.equal(lines[3], '3 objects in 3 files: 3 errors.')
  })

  it('reports conflicts, missing references and unknown kinds as warnings', async () => {
    const second = ROUTE.replace('name: api, namespace', 'name: younger, namespace').replace(
      'name: canary',
      'name: nowhere',
    )
    const deployment = '---\napiVersion: apps/v1\nkind: Deployment\nmetadata: { name: d }\n'
    const path = folder({ 'a.yaml': ROUTE + BACKENDS, 'b.yaml': second + deployment })
    const { code, out } = await headgate('validate', path, '-o', 'json')
    assert.equal(code, 0)
    const report = JSON.parse(out) as { errors: number; warnings: number; findings: Finding[] }
    const found = report.findings.map(({ reason, line, object }) => `${reason} ${line} ${object?.name}`)
    assert.deepEqual(found.sort(), ['BackendNotFound 3 younger', 'Conflicted 3 younger', 'UnknownKind 19 d'])
    assert.ok(report.findings.every(({ file }) => file.endsWith('b.yaml')))
    assert.deepEqual([report.errors, report.warnings], [0, 3])
    assert.match(report.findings.find(({ reason }) => reason === 'Conflicted')!.message, /shop\/api/)
  })

  it('reports unsupported parts of an Ingress once each, with their location', async () => {
    const rule = (host: string) => `  - host: ${host}
    http:
      paths:
      - { path: "/x?y", pathType: Prefix, backend: { service: { name: nobody, port: { number: 80 } } } }
      - { path: "/(.*)", pathType: Prefix, backend: { service: { name: nobody, port: { number: 80 } } } }
`
    const yaml = `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web
  annotations: { nginx.ingress.kubernetes.io/auth-url: x }
spec:
  tls: [{ hosts: [a.example, d.example] }]
  rules:
${['a.example', 'b.example', 'c.example'].map(rule).join('')}`
    const { code, out } = await headgate('validate', folder({ 'a.yaml': yaml }), '--output', 'json')
    const { findings } = JSON.parse(out) as { findings: Finding[] }
    assert.equal(code, 0)
    assert.deepEqual(
      findings.map(({ reason, field, line }) => `${line} ${field} ${reason}`),
      [
        '4  NoListener',
        '4  ServiceNotFound',
        '4  NoCertificate',
        '5 metadata.annotations["nginx.ingress.kubernetes.io/auth-url"] AnnotationsIgnored',
        '7 spec.tls[0].hosts CertificateNotServed',
        '12 spec.rules[0].http.paths[0].path PathNeverMatches',
        '13 spec.rules[0].http.paths[1].path PathTakenLiterally',
      ],
    )
  })

  it('reports like a status that a Route cannot serve because of its Backend’s Service, port or address', async () => {
    const route = (name: string) => `---
apiVersion: headgate.dev/v1alpha1
kind: Route
metadata: { name: ${name} }
spec: { hostnames: [${name}.example], rules: [{ name: all, backendRefs: [{ name: ${name} }] }] }
---
apiVersion: headgate.dev/v1alpha1
kind: Backend
metadata: { name: ${name} }
`
    const yaml = `${route('service')}spec: { service: { name: nobody, port: 80 } }
${route('port')}spec: { service: { name: api, port: web } }
${route('address')}spec: { endpoints: [{ address: 169.254.169.254, port: 80 }] }
${route('good')}spec: { endpoints: [{ address: 169.254.169.254, port: 80 }, { address: 127.0.0.1, port: 80 }] }
---
apiVersion: v1
kind: Service
metadata: { name: api }
spec: { ports: [{ name: http, port: 80 }] }
`
    const { out } = await headgate('validate', folder({ 'a.yaml': yaml }), '--output', 'json')
    const { findings } = JSON.parse(out) as { findings: Finding[] }
    const ofRoutes = findings.filter(({ object }) => object?.kind === 'Route')
    assert.deepEqual(
      ofRoutes.map(({ object, reason }) => `${object?.name} ${reason}`),
      ['service ServiceNotFound', 'port PortNotFound', 'address AddressNotAllowed'],
    )
    assert.match(
      ofRoutes[2]!.message,
      /^rule all: Backend default\/address: no endpoint may be used: 169\.254\.169\.254 port 80/,
    )
  })

  it('exits with 1 for an object of an old version of any group', async () => {
    for (const apiVersion of ['extensions/v1beta1', 'networking.k8s.io/v1beta1']) {
      const yaml = `apiVersion: ${apiVersion}\nkind: Ingress\nmetadata: { name: a }\nspec: {}\n`
      const { code, out } = await headgate('validate', folder({ 'a.yaml': yaml }))
      assert.deepEqual(
        [code, /error: Ingress default\/a: .* write `apiVersion: networking\.k8s\.io\/v1`/.test(out)],
        [1, true],
        out,
      )
    }
  })

  it('accepts single files with any name, and reports missing paths', async () => {
    const path = folder({ 'manifest.txt': ROUTE + BACKENDS })
    assert.equal((await headgate('validate', join(path, 'manifest.txt'))).code, 0)
    const { code, out } = await headgate('validate', join(path, 'none'), join(path, 'manifest.txt'))
    assert.equal(code, 1)
    assert.match(out, /none:1:1: error: The folder or file does not exist\. \(FolderMissing\)\n3 objects/)
  })

  it('validates the settings, and the manifests against them', async () => {
    const path = folder({ 'm/a.yaml': ROUTE + BACKENDS, 's.yaml': 'listeners:\n- { name: web, port: 80800 }\n' })
    const broken = await headgate('validate', join(path, 'm'), '--settings', join(path, 's.yaml'))
    assert.equal(broken.code, 1)
    assert.match(broken.out, /s\.yaml:2:16: error: listeners\[0\]\.port: /)
    writeFileSync(join(path, 's.yaml'), 'ingressClass: { name: other, default: false }\n')
    const other = await headgate('validate', join(path, 'm'), '--settings', join(path, 's.yaml'))
    assert.equal(other.code, 0)
    assert.match(other.out, /warning: Route shop\/api: .*\(WrongClass\)/)
  })

  it('reports two files that define one object, with both locations', async () => {
    const { code, out } = await headgate('validate', folder({ 'a.yaml': ROUTE + BACKENDS, 'b.yaml': `# x\n${ROUTE}` }))
    assert.equal(code, 1)
    assert.match(out, /b\.yaml:2:1: error: Route shop\/api: .*a\.yaml:1, .*\(DefinedTwice\)/)
  })
})

describe('headgate routes', () => {
  it('prints the table in matching order, each host once', async () => {
    const { code, out, err } = await headgate('routes', '--config', folder({ 'a.yaml': ROUTE + BACKENDS }))
    assert.deepEqual([code, err], [0, ''])
    assert.equal(
      out,
      [
        'HOST              PATH       METHOD  IF  ROUTE     RULE  ANSWERED BY',
        'shop.example.com  = /health  GET     -   shop/api  api   shop/api 90, shop/canary 10',
        '                  /api/*     *       -   shop/api  api   shop/api 90, shop/canary 10',
        '                  /*         *       -   shop/api  rest  respond 200',
        '',
      ].join('\n'),
    )
  })

  it('prints the same as JSON', async () => {
    const { out } = await headgate('routes', folder({ 'a.yaml': ROUTE + BACKENDS }), '-o', 'json')
    const rows = JSON.parse(out) as {
      hostname: string
      path: unknown
      rule: string
      listeners: string[]
      action: unknown
    }[]
    assert.deepEqual(
      rows.map(({ rule }) => rule),
      ['api', 'api', 'rest'],
    )
    assert.deepEqual(rows[0]?.path, { type: 'Exact', value: '/health' })
    assert.deepEqual(rows[0]?.listeners, ['http'])
    assert.deepEqual(rows[2]?.action, { type: 'respond', statusCode: 200, body: 'rest' })
  })

  it('prints the rules of one host: its own, of its longest wildcard, or of the catch-all', async () => {
    const text = (name: string, hosts: string) =>
      `apiVersion: headgate.dev/v1alpha1\nkind: Route\nmetadata: { name: ${name} }\nspec: { ${hosts}rules: [{ name: r, respond: { statusCode: 200 } }] }\n---\n`
    const path = folder({
      'a.yaml':
        text('exact', 'hostnames: [a.example.com], ') +
        text('wild', 'hostnames: ["*.example.com"], ') +
        text('rest', ''),
    })
    for (const [host, expected] of [
      ['a.example.com', 'default/exact'],
      ['B.Example.com.', 'default/wild'],
      ['x.y.example.com', 'default/wild'],
      ['other.test', 'default/rest'],
    ] as const) {
      const { out } = await headgate('routes', path, '--host', host)
      assert.deepEqual(
        out
          .trimEnd()
          .split('\n')
          .slice(1)
          .map((line) => line.split(/ +/)[4]),
        [expected],
        host,
      )
    }
  })

  it('prints the valid objects, and refers to `validate` on standard error for the others', async () => {
    const path = folder({
      'a.yaml': ROUTE + BACKENDS,
      'b.yaml': ROUTE.replace('name: api,', 'name: bad,').replace('rules:', 'rulez:'),
    })
    const { code, out, err } = await headgate('routes', path)
    assert.equal(code, 0)
    assert.match(out, /shop\/api/)
    assert.match(err, /^1 object is not served; see headgate validate /)
  })

  it('exits with 1 for a missing folder', async () => {
    const { code, err } = await headgate('routes', join(root, 'nowhere'))
    assert.equal(code, 1)
    assert.match(err, /folder or file does not exist/)
  })
})

describe('headgate config', () => {
  it('prints every value with its origin, as a settings file', async () => {
    const path = folder({
      's.yaml': '# mine\nlisteners:\n- { name: http, port: 80, address: 127.0.0.1 }\nlimits:\n  headers: 50\n',
    })
    const { code, out } = await headgate(
      'config',
      '--settings',
      join(path, 's.yaml'),
      '--http',
      ':8000',
      '--admin',
      ':9',
    )
    assert.equal(code, 0)
    const file = join(path, 's.yaml')
    assert.ok(out.includes(`  - name: http # ${file}:3\n    port: 8000 # --http :8000\n`), out)
    assert.ok(out.includes(`  headers: 50 # ${file}:5\n`))
    assert.ok(out.includes('  address: :9 # --admin :9\n'))
    assert.ok(out.includes('  head: 64Ki # default\n'))
    assert.ok(!out.includes('127.0.0.1'), ':8000 is every address, whatever the file says')
    const again = folder({ 's.yaml': out })
    const second = await headgate('config', '--settings', join(again, 's.yaml'))
    assert.deepEqual(parse(second.out), parse(out))
  })

  it('prints the same as JSON', async () => {
    const { out } = await headgate('config', '-o', 'json', '--access-log', 'off')
    const { settings, origins } = JSON.parse(out) as {
      settings: { accessLog: { sample: number } }
      origins: Record<string, string>
    }
    assert.equal(settings.accessLog.sample, 0)
    assert.equal(origins['accessLog.sample'], '--access-log off')
    assert.equal(origins['listeners[0].port'], 'default')
  })

  it('reports the location of a rejected value, in the file or on the command line', async () => {
    const path = folder({ 's.yaml': 'limits:\n  headers: none\nlistenerz: []\n' })
    const { code, err } = await headgate('config', '--settings', join(path, 's.yaml'))
    assert.equal(code, 1)
    assert.match(err, /s\.yaml:2:3: limits\.headers: /)
    assert.match(err, /s\.yaml:3:1: listenerz: .*listeners/)
    const flag = await headgate('config', '--state', `/${'x'.repeat(5_000)}`)
    assert.equal(flag.code, 1)
    assert.match(flag.err, /^--state \/x+: stateDirectory: /)
    const missing = await headgate('config', '--settings', join(path, 'none.yaml'))
    assert.match(missing.err, /does not exist; correct --settings/)
  })
})

describe('the other commands', () => {
  it('have help texts', async () => {
    for (const name of COMMAND_NAMES) {
      const { code, out } = await headgate(name, '--help')
      assert.equal(code, 0)
      assert.match(out, new RegExp(`Usage: headgate ${name}`))
      assert.ok(
        out.split('\n').every((line) => line.length <= 130),
        name,
      )
    }
    assert.match((await headgate()).out, /headgate run --config demo/)
  })

  it('print the version, and exit with 2 for invalid arguments', async () => {
    assert.match((await headgate('version')).out, new RegExp(`^headgate ${packageVersion()}, Node.js v26`))
    const { code, out, err } = await headgate('wat')
    assert.deepEqual([code, out], [2, ''])
    assert.match(err, /^headgate: There is no command "wat"/)
  })

  it('contain a valid first route', async () => {
    const { out } = await headgate('help')
    const route = /<<'END'\n(?<text>.*?)\n\s*END/s.exec(out)?.groups?.text?.replaceAll(/^ {2}/gm, '')
    const path = folder({ 'route.yaml': `${route}\n` })
    assert.equal((await headgate('validate', path)).out, '1 object in 1 file: all valid.\n')
  })
})
