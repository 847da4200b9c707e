import assert from 'node:assert/strict'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { gzipSync } from 'node:zlib'
import { parse } from 'yaml'
import { type Right, rightsOf } from '../../src/api/rights.ts'
import { SHARDS, shardName } from '../../src/control/last-good/last-good-shards.ts'
import { AT_START } from '../../src/control/settings/start-settings.ts'
import { CHART, helm, type KubernetesObject, type Rendering, render, template, WITHOUT_HELM } from './helm.ts'
import { MATRIX, REFUSED } from './matrix.ts'
import { problemsOf, workloadOf } from './objects.ts'

// biome-ignore lint/suspicious/noExplicitAny: manifests are read field by field.
type Part = any

const one = (objects: readonly KubernetesObject[], kind: string, name?: string): Part =>
  objects.find((object) => object.kind === kind && (name === undefined || object.metadata.name === name))

const podOf = (objects: readonly KubernetesObject[]): Part => workloadOf(objects).spec.template

const LINTED = ['defaults', 'only its own namespace', 'environment, flags and volumes', 'settings']

describe('the chart', { concurrency: 2 }, () => {
  if (WITHOUT_HELM !== false) {
    it('is checked with Helm', { skip: WITHOUT_HELM }, () => {})
    return
  }

  for (const entry of MATRIX) {
    const { name, unbuilt = false, hostPorts = false } = entry
    it(`renders objects that hold together: ${name}`, async () => {
      const objects = await render(entry)
      assert.deepEqual(problemsOf(objects, { unbuilt, hostPorts }), [])
    })
  }

  // Lint renders too, in three times the time; what it knows besides is about the chart more than about values.
  for (const { name, values = {} } of MATRIX.filter(({ name }) => LINTED.includes(name)))
    it(`passes helm lint: ${name}`, async () => {
      const outcome = await helm(['lint', CHART, '--strict', '--values', '-'], JSON.stringify(values))
      assert.ok(outcome.ok, outcome.ok ? '' : outcome.message)
    })

  for (const entry of MATRIX.filter(({ unbuilt }) => unbuilt))
    it(`refuses what pods would refuse at their start: ${entry.name}`, async () => {
      const outcome = await template({ ...entry, unbuilt: false })
      assert.ok(!outcome.ok, 'it was accepted')
      assert.match(outcome.message, / is not built yet in this version; /)
    })

  for (const entry of REFUSED)
    it(`refuses ${entry.name}, and says why`, async () => {
      const outcome = await template(entry)
      assert.ok(!outcome.ok, 'it was accepted')
      assert.match(outcome.message, entry.says)
    })

  it('reads pods of its own namespace where a listener has a host port, and only there', async () => {
    for (const [hostPort, watchNamespaces] of [
      [80, []],
      [80, ['shop']],
      [null, []],
    ] as const) {
      const objects = await render({ values: { listeners: { http: { hostPort } }, watchNamespaces } } as Rendering)
      const rules = objects
        .filter(({ kind }) => kind.endsWith('Role'))
        .flatMap((role) => (role as Part).rules as Part[])
      const pods = rules.filter(({ resources }) => resources.includes('pods'))
      const environment = Object.fromEntries(
        podOf(objects).spec.containers[0].env.map(({ name, value, valueFrom }: Part) => [name, value ?? valueFrom]),
      )
      if (hostPort === null) {
        assert.deepEqual(pods, [])
        assert.ok(!('HEADGATE_HOST_PORTS' in environment))
        continue
      }
      assert.deepEqual(pods, [{ apiGroups: [''], resources: ['pods'], verbs: ['list', 'watch'] }])
      assert.equal(environment.HEADGATE_HOST_PORTS, '80')
      assert.deepEqual(environment.HEADGATE_HOST_IPS, { fieldRef: { fieldPath: 'status.hostIPs' } })
      const labels = podOf(objects).metadata.labels
      for (const part of environment.HEADGATE_SELECTOR.split(',')) {
        const [key, value] = part.split('=')
        assert.equal(labels[key], value, part)
      }
    }
  })

  it('keeps names that read as numbers, or as nothing, what they are', async () => {
    const places = ['789', '1e3', '0x10', 'null', 'on']
    const objects = await render({
      unbuilt: true,
      release: '123',
      namespace: '456',
      values: {
        watchNamespaces: places,
        fullnameOverride: 'true',
        nameOverride: '789',
        serviceAccount: { name: '12' },
        priorityClassName: '1e2',
        ingressClass: { name: '1e2' },
        defaultCertificate: { secretName: '7', namespace: '8' },
      },
    })
    const names = /^(name|namespace|serviceAccountName|priorityClassName|value|app\.kubernetes\.io\/.*)$/
    const wrong: string[] = []
    const look = (value: unknown, key: string, path: string): void => {
      if (names.test(key) && typeof value !== 'string' && typeof value !== 'object') wrong.push(`${path}: ${value}`)
      if (value === null) wrong.push(path)
      else if (typeof value === 'object')
        for (const [inner, part] of Object.entries(value)) look(part, inner, `${path}.${inner}`)
    }
    for (const object of objects) look(object, '', object.kind)
    assert.deepEqual(wrong, [])
    const roles = objects.filter(({ kind }) => kind === 'Role').map(({ metadata }) => metadata.namespace)
    assert.deepEqual(roles.sort(), ['456', '8', ...places].sort())
  })

  it('has selectors that no version, image or value changes, since an upgrade could not change them', async () => {
    const selector = {
      'app.kubernetes.io/name': 'headgate',
      'app.kubernetes.io/instance': 'hg',
      'app.kubernetes.io/component': 'gateway',
    }
    await withChart({ version: '9.9.9', appVersion: '9.9.9' }, async (chart) => {
      const others: Rendering[] = [
        { chart },
        {
          values: {
            image: { tag: 'x' },
            commonLabels: { a: 'b' },
            podLabels: { c: 'd' },
            fullnameOverride: 'edge',
            kind: 'DaemonSet',
          },
        },
      ]
      for (const rendering of [{}, ...others]) {
        const objects = await render(rendering)
        assert.deepEqual(workloadOf(objects).spec.selector, { matchLabels: selector })
        assert.deepEqual(one(objects, 'Service').spec.selector, selector)
      }
    })
  })

  it('replaces no pod for a new setting, nor for a new chart of the same image', async () => {
    const image = { tag: 'pinned' }
    const before = podOf(await render({ values: { image } }))
    assert.deepEqual(podOf(await render({ values: { image, settings: { accessLog: { sample: 1 } } } })), before)
    await withChart({ version: '9.9.9', appVersion: '9.9.9' }, async (chart) => {
      assert.deepEqual(podOf(await render({ chart, values: { image } })), before)
    })
  })

  it('gives pods other settings by another name for whatever a process reads at its start only', async () => {
    const other: Readonly<Record<string, object>> = {
      'admin.address': { settings: { admin: { address: '127.0.0.1:9911' } } },
      'admin.tokenFile': { settings: { admin: { tokenFile: '/token' } } },
      'signals.address': { signals: { port: 9904 } },
      'peers.address': { peers: { port: 9905 } },
      'peers.keyFile': { peers: { enabled: false } },
      'limits.memory': { settings: { limits: { memory: '384Mi' } } },
      'cache.memory': { settings: { cache: { memory: '64Mi' } } },
      'cache.files': { settings: { cache: { files: '64Mi' } } },
      watchNamespaces: { watchNamespaces: ['team-a'] },
      stateDirectory: { state: { enabled: true } },
      stateKeyFile: { state: { enabled: true, keySecretName: 'key' } },
    }
    assert.deepEqual(
      AT_START.map((path) => path.join('.')),
      Object.keys(other),
    )
    // Listeners are opened and closed while a process runs, but only the pod's own ports are reached.
    const ports = { listeners: { http: { port: 8081 } } }
    const names = [{}, ports, { watchNamespaces: ['team-a', 'team-b'] }, ...Object.values(other)].map(
      async (values) => podOf(await render({ values, unbuilt: true })).spec.volumes[0].configMap.name as string,
    )
    assert.equal(new Set(await Promise.all(names)).size, names.length)
  })

  it('gives pods other code of plugins by another name, too', async () => {
    const plugin = (source: string) => ({ plugins: [{ name: 'p', namespaces: { from: 'All' }, source }] })
    const names = ['1', '2'].map(async (source) => {
      const objects = await render({ values: plugin(source), unbuilt: true })
      const { volumes } = podOf(objects).spec
      const { name } = volumes.find((volume: Part) => volume.name === 'plugin-p').configMap
      assert.deepEqual(objects.find(({ metadata }) => metadata.name === name)?.data, { p: source })
      return name
    })
    assert.equal(new Set(await Promise.all(names)).size, 2)
  })

  it('mounts the key of the state for the group of the pod alone, and names it in the settings', async () => {
    const objects = await render({ values: { state: { enabled: true, keySecretName: 'sealing' } } })
    const { volumes, containers, securityContext } = podOf(objects).spec
    const volume = volumes.find(({ name }: Part) => name === 'state-key')
    assert.deepEqual(volume.secret, {
      secretName: 'sealing',
      defaultMode: 0o440,
      items: [{ key: 'keys', path: 'keys' }],
    })
    assert.equal(securityContext.fsGroup, 65_532)
    const mount = containers[0].volumeMounts.find(({ name }: Part) => name === 'state-key')
    assert.equal(mount.readOnly, true)
    const settings = objects.find(({ kind, data }) => kind === 'ConfigMap' && data?.['settings.yaml'] !== undefined)
    assert.equal(parse(settings?.data['settings.yaml']).stateKeyFile, `${mount.mountPath}/keys`)
    const without = podOf(await render({ values: { state: { enabled: true } } }))
    assert.ok(!JSON.stringify(without).includes('state-key'))
  })

  it('asks for nothing cluster-wide when it watches namespaces only', async () => {
    const objects = await render({
      values: { watchNamespaces: ['team-a', 'team-b'], ingressClass: { create: false }, crds: { install: 'Never' } },
    })
    assert.deepEqual(
      objects.filter(({ kind }) => kind.startsWith('Cluster') || kind === 'CustomResourceDefinition'),
      [],
    )
    const roles = objects.filter(({ kind }) => kind === 'Role').map(({ metadata }) => metadata.namespace)
    assert.deepEqual(roles.toSorted(), ['gateway', 'team-a', 'team-b'])
    const settings = one(objects, 'ConfigMap').data['settings.yaml']
    assert.deepEqual(parse(settings).watchNamespaces, ['team-a', 'team-b'])
  })

  it('may read a default certificate that is nowhere else allowed, and only that', async () => {
    const values = { watchNamespaces: ['team-a'], defaultCertificate: { secretName: 'wild', namespace: 'certs' } }
    const objects = await render({ values })
    const role = objects.find(({ kind, metadata }) => kind === 'Role' && metadata.namespace === 'certs')
    assert.deepEqual(role?.rules, [
      { apiGroups: [''], resources: ['secrets'], resourceNames: ['wild'], verbs: ['list', 'watch'] },
    ])
  })

  it('may read Secrets by name alone where the values say which, and those of the settings besides', async () => {
    const values = {
      rbac: { secretNames: { shop: ['shop-tls'], certs: ['wild'] } },
      defaultCertificate: { secretName: 'wild', namespace: 'certs' },
      settings: {
        tls: { sessionTicketKey: { secretName: 'tickets', namespace: 'keys' } },
        redis: { addresses: ['redis:6379'], secretName: 'redis', namespace: 'data', tls: { caSecretName: 'redis-ca' } },
      },
    }
    const rules = (await render({ values })).flatMap(({ kind, metadata, rules = [] }) =>
      rules.flatMap(({ resources, resourceNames = [] }: Part) =>
        resources.includes('secrets') ? [`${kind} ${metadata.namespace ?? ''} ${resourceNames}`] : [],
      ),
    )
    const expected = ['Role certs wild', 'Role data redis,redis-ca', 'Role keys tickets', 'Role shop shop-tls']
    assert.deepEqual(rules.toSorted(), expected)
  })

  it('grants what docs/status.md and the code name: the Lease, the ConfigMaps, the Service', async () => {
    const rules: Part[] = one(await render({}), 'Role').rules
    const named = rules.map(({ resources, resourceNames = [], verbs }) => [
      resources.join(),
      resourceNames,
      verbs.join(),
    ])
    const maps = Array.from({ length: SHARDS }, (_, shard) => shardName('hg-headgate', shard))
    assert.deepEqual(named, [
      ['leases', [], 'create'],
      ['leases', ['hg-headgate'], 'get,update'],
      ['configmaps', [], 'create'],
      ['configmaps', maps, 'get,update,delete'],
      ['services', ['hg-headgate'], 'list,watch'],
    ])
  })

  it('grants on kinds what the table of kinds asks for and nothing else, everywhere or in each namespace', async () => {
    const { namespaced, cluster } = rightsOf()
    const granted = ({ rules }: Part) =>
      rules
        .filter(({ apiGroups }: Part) => apiGroups[0] !== 'events.k8s.io')
        .flatMap(({ apiGroups, resources, verbs }: Part) =>
          resources.map((resource: string) => `${apiGroups} ${resource} ${verbs}`),
        )
        .toSorted()
    const wanted = (rights: readonly Right[]) =>
      rights
        .flatMap(({ apiGroup, resources, verbs }) => resources.map((resource) => `${apiGroup} ${resource} ${verbs}`))
        .toSorted()
    const role = (objects: readonly Part[], kind: string, namespace?: string) =>
      objects.find(
        (one) => one.kind === kind && one.metadata.namespace === namespace && !/-(view|edit)$/.test(one.metadata.name),
      )
    const wide = await render({})
    assert.deepEqual(granted(role(wide, 'ClusterRole')!), wanted([...namespaced, ...cluster]))
    const narrow = await render({ values: { watchNamespaces: ['team-a', 'team-b'] } })
    for (const namespace of ['team-a', 'team-b'])
      assert.deepEqual(granted(role(narrow, 'Role', namespace)!), wanted(namespaced))
    assert.ok(wanted(namespaced).includes(' configmaps list,watch'))
    // Read by name, once something refers to them.
    assert.ok(wanted(namespaced).includes(' secrets list,watch'))
  })

  it('has two installations of one name share no object outside of their namespaces', async () => {
    const wide = async (namespace: string, name: string) => {
      const values = { ingressClass: { name }, crds: { install: 'Never' } }
      const objects = await render({ namespace, values })
      return objects
        .filter(({ metadata }) => metadata.namespace === undefined)
        .map((object) => `${object.kind} ${object.metadata.name}`)
    }
    const [a, b] = [await wide('gateway-a', 'a'), await wide('gateway-b', 'b')]
    assert.ok(a.length >= 4)
    assert.deepEqual(
      a.filter((name) => b.includes(name)),
      [],
    )
  })

  it('has a key of its replicas in a Secret, or names that of the operator, and neither where they do not talk', async () => {
    const about = async (peers: object) => {
      const objects = await render({ values: { peers } })
      const secrets = objects.filter(({ kind }) => kind === 'Secret')
      const volume = podOf(objects).spec.volumes.find(({ name }: Part) => name === 'peers')
      const ports = objects.flatMap(({ kind, spec }) => (kind === 'Service' ? spec.ports : []))
      const named = ports.filter(({ name }: Part) => name === 'peers').length
      return {
        keys: secrets.map(({ data }) => atob(data.key)),
        names: secrets.map(({ metadata }) => metadata.name),
        volume,
        named,
      }
    }
    const made = await about({})
    assert.deepEqual(
      [made.names, made.volume.secret.secretName, made.named],
      [['hg-headgate-peers'], 'hg-headgate-peers', 1],
    )
    assert.match(made.keys[0]!, /^[A-Za-z0-9]{48}$/)
    assert.notEqual((await about({})).keys[0], made.keys[0], 'nobody knows it')
    const stated = await about({ keySecretName: 'ours' })
    assert.deepEqual([stated.names, stated.volume.secret.secretName, stated.named], [[], 'ours', 1])
    const off = await about({ enabled: false })
    assert.deepEqual([off.names, off.volume, off.named], [[], undefined, 0])
  })

  it('puts ports 80 and 443 before 8080 and 8443', async () => {
    const objects = await render({})
    const service = one(objects, 'Service').spec.ports.map((port: Part) => [port.port, port.targetPort])
    const pod = podOf(objects).spec.containers[0].ports.map((port: Part) => [port.containerPort, port.name])
    assert.deepEqual(service, [
      [80, 'http'],
      [443, 'https'],
    ])
    assert.deepEqual(pod, [
      [8080, 'http'],
      [8443, 'https'],
      [9902, 'signals'],
      [9903, 'peers'],
    ])
  })

  it('has every listener that is given a port, unless it says no, and the Service has it under the same port', async () => {
    const listeners = { more: { port: 9090 }, off: { enabled: false, port: 9091 }, http: null, https: null }
    const objects = await render({ values: { listeners } })
    const ports = one(objects, 'Service').spec.ports.map((port: Part) => [port.name, port.port, port.targetPort])
    assert.deepEqual(ports, [['more', 9090, 'more']])
    const settings = parse(one(objects, 'ConfigMap').data['settings.yaml'])
    assert.deepEqual(settings.listeners, [{ name: 'more', port: 9090 }])
  })

  it('never has fewer pods than before while pods are replaced, except where they need ports of their nodes', async () => {
    const rolling = async (values: object): Promise<Part> => {
      const { spec } = workloadOf(await render({ values }))
      return (spec.strategy ?? spec.updateStrategy).rollingUpdate
    }
    assert.deepEqual(await rolling({}), { maxUnavailable: 0, maxSurge: 1 })
    assert.deepEqual(await rolling({ kind: 'DaemonSet' }), { maxUnavailable: 0, maxSurge: 1 })
    assert.deepEqual(await rolling({ kind: 'DaemonSet', listeners: { http: { hostPort: 80 } } }), {
      maxUnavailable: 1,
      maxSurge: 0,
    })
  })

  it('gives a DaemonSet no budget: it has no scale that one could count by, and a drain leaves its pods alone', async () => {
    assert.notEqual(one(await render({}), 'PodDisruptionBudget'), undefined)
    assert.equal(one(await render({ values: { kind: 'DaemonSet' } }), 'PodDisruptionBudget'), undefined)
  })

  it('keeps the CRDs when it goes, and has them among the objects that an upgrade changes', async () => {
    const crds = (await render({})).filter(({ kind }) => kind === 'CustomResourceDefinition')
    assert.deepEqual(crds.map(({ metadata }) => metadata.name).toSorted(), [
      'backends.headgate.dev',
      'routes.headgate.dev',
    ])
    for (const { metadata } of crds) {
      assert.equal(metadata.annotations?.['helm.sh/resource-policy'], 'keep')
      assert.equal(metadata.annotations?.['helm.sh/hook'], undefined)
    }
  })

  it('fits into the Secret that Helm keeps of a release, with room', async () => {
    const manifest = await template({})
    assert.ok(manifest.ok)
    const files = [
      'values.yaml',
      'values.schema.json',
      'files/unbuilt.json',
      'files/crds/routes.headgate.dev.yaml',
      'files/crds/backends.headgate.dev.yaml',
    ]
    const stored = await Promise.all(files.map(async (file) => (await readFile(join(CHART, file))).toString('base64')))
    const release = gzipSync(JSON.stringify({ manifest: manifest.text, stored })).toString('base64')
    // A Secret holds 1 MiB.
    assert.ok(release.length < 300_000, `${release.length} bytes`)
  })

  it('is ready for helm test: a pod that no Service sends traffic to', async () => {
    const pod = one(await render({}), 'Pod')
    assert.equal(pod.metadata.annotations['helm.sh/hook'], 'test')
    assert.equal(
      pod.spec.containers[0].env.find((entry: Part) => entry.name === 'PORTS').value,
      'http://80 https://443',
    )
  })
})

async function withChart(versions: Record<string, string>, use: (chart: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'headgate-chart-'))
  try {
    const chart = join(folder, 'headgate')
    await cp(CHART, chart, { recursive: true })
    const file = join(chart, 'Chart.yaml')
    let text = await readFile(file, 'utf8')
    for (const [key, value] of Object.entries(versions))
      text = text.replace(new RegExp(`^${key}: .*$`, 'm'), `${key}: "${value}"`)
    await writeFile(file, text)
    await use(chart)
  } finally {
    await rm(folder, { recursive: true })
  }
}
