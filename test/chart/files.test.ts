import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { parse } from 'yaml'
import { cycloneDx, sbomPage } from '../../docs/generate-sbom.ts'
import { ADDRESS_RANGE, generated } from '../../helm/generate.ts'
import { installManifest } from '../../manifests/generate.ts'
import { createValidator } from '../../src/api/validate.ts'
import { parseCIDR } from '../../src/pattern/cidr.ts'
import { readSchemas } from '../../src/source/crds.ts'
import { HELM, objectsOf, ROOT, WITHOUT_HELM } from './helm.ts'
import { blocksOf } from './kind-page.ts'
import { problemsOf, workloadOf } from './objects.ts'

const text = (path: string): string => readFileSync(join(ROOT, path), 'utf8')
const { version } = JSON.parse(text('package.json')) as { version: string }

describe('what is written by programs', () => {
  it('is what they write: CRDs and schema of the chart, its table of values', () => {
    for (const [path, content] of generated()) assert.ok(text(path) === content, `${path}: run node helm/generate.ts`)
  })

  it('is what they write: the bill of materials', () => {
    assert.ok(text('docs/sbom.md') === sbomPage(), 'docs/sbom.md: run node docs/generate-sbom.ts')
  })

  it('is what they write: manifests/install.yaml', { skip: WITHOUT_HELM }, () => {
    assert.ok(text('manifests/install.yaml') === installManifest(HELM!), 'run node manifests/generate.ts')
  })
})

describe('the build of the image', () => {
  it('receives every file that the programs it runs import', () => {
    const allowed = text('.dockerignore')
      .split('\n')
      .flatMap((line) => (line.startsWith('!') ? [line.slice(1)] : []))
    const runs = [...text('Dockerfile').matchAll(/\bnode ([\w/-]+\.ts)\b/g)].map(([, path]) => path!)
    assert.ok(runs.length > 0, 'the Dockerfile runs no program of ours')
    const needed = new Set(runs)
    for (const path of needed)
      for (const [, specifier] of text(path).matchAll(/from '(\.[^']+)'/g))
        needed.add(posix.join(posix.dirname(path), specifier!))
    for (const path of needed)
      assert.ok(
        allowed.some((entry) => path === entry || path.startsWith(`${entry}/`)),
        `${path} is needed in the build and not let in by .dockerignore`,
      )
  })
})

describe('the chart without Helm', () => {
  it('takes for an address range what the CRDs take', () => {
    const pattern = new RegExp(ADDRESS_RANGE)
    const address = fc.oneof(
      fc.ipV4(),
      fc.ipV6(),
      fc.string({ unit: fc.constantFrom('0', '1', 'aF9', ':', '::', '.', '255', '256', '01') }),
    )
    const range = fc.tuple(address, fc.constantFrom('/', '/', '/', '', '/0', '/-'), fc.integer({ min: 0, max: 140 }))
    fc.assert(
      fc.property(range, (parts) => {
        const text = parts.join('')
        // With a dotted end it is not taken; nobody writes ranges so.
        fc.pre(!(text.includes(':') && text.includes('.')))
        assert.equal(pattern.test(text), text.includes('/') && parseCIDR(text) !== undefined, text)
      }),
      { numRuns: 5000 },
    )
    for (const text of ['::/0', '1:2:3:4:5:6:7::/64', '::2:3:4:5:6:7:8/128', '10.0.0.1/8']) assert.match(text, pattern)
  })

  it('has the CRDs of crds/, to the letter but for the annotation that keeps them', () => {
    for (const [file, name] of [
      ['headgate.dev_routes', 'routes.headgate.dev'],
      ['headgate.dev_backends', 'backends.headgate.dev'],
    ]) {
      const crd = parse(text(`helm/headgate/files/crds/${name}.yaml`))
      assert.deepEqual(crd.metadata, { name, annotations: { 'helm.sh/resource-policy': 'keep' } })
      assert.deepEqual(crd.spec, parse(text(`crds/${file}.yaml`)).spec)
    }
  })

  it('has the version of the package', () => {
    const chart = parse(text('helm/headgate/Chart.yaml'))
    assert.deepEqual([chart.version, chart.appVersion], [version, version])
  })
})

describe('manifests/install.yaml', () => {
  const objects = objectsOf(text('manifests/install.yaml'))

  it('holds together, with its namespace first and the CRDs before what they describe', () => {
    assert.deepEqual(problemsOf(objects), [])
    assert.deepEqual(
      objects.slice(0, 3).map(({ kind }) => kind),
      ['Namespace', 'CustomResourceDefinition', 'CustomResourceDefinition'],
    )
  })

  it('enforces restricted pod security on its own namespace', () => {
    assert.equal(objects[0]!.metadata.labels?.['pod-security.kubernetes.io/enforce'], 'restricted')
  })

  it('says nothing of Helm, and names the image of this version', () => {
    const others = objects.filter(({ kind }) => kind !== 'CustomResourceDefinition')
    assert.doesNotMatch(JSON.stringify(others), /helm/i)
    assert.equal(workloadOf(objects).spec.template.spec.containers[0].image, `headgate:${version}`)
  })

  it('is deleted by the label that docs/install.md names, without the CRDs', () => {
    const [, key, value] = /--selector (\S+)=(\S+)$/m.exec(text('docs/install.md'))!
    const others = objects.filter(({ metadata }) => metadata.labels?.[key!] !== value).map(({ kind }) => kind)
    assert.deepEqual(others, ['Namespace', 'CustomResourceDefinition', 'CustomResourceDefinition'])
  })

  it('can be applied by kubectl without --server-side: no object is above 256 KiB', () => {
    for (const object of objects) {
      const bytes = Buffer.byteLength(JSON.stringify(object))
      assert.ok(bytes < 230_000, `${object.kind} ${object.metadata.name} has ${bytes} bytes`)
    }
  })
})

describe('manifests/example.yaml', () => {
  const objects = objectsOf(text('manifests/example.yaml'))
  const find = (kind: string, name: string) =>
    objects.find((object) => object.kind === kind && object.metadata.name === name)

  it('has a Route and a Backend that Headgate accepts', () => {
    const validator = createValidator(readSchemas())
    for (const object of objects.filter(({ apiVersion }) => apiVersion.startsWith('headgate.dev/'))) {
      const verdict = validator.check(object.kind as 'Route' | 'Backend', structuredClone(object))
      assert.deepEqual(verdict.ok ? [] : verdict.problems, [])
    }
  })

  it('refers to Services that select pods which have the port', () => {
    for (const service of objects.filter(({ kind }) => kind === 'Service')) {
      const { template } = find('Deployment', service.metadata.name)!.spec
      assert.deepEqual(service.spec.selector, template.metadata.labels)
      assert.equal(service.spec.ports[0].targetPort, template.spec.containers[0].ports[0].name)
    }
  })

  it('runs the example service of the image of this version, where `restricted` is enforced', () => {
    assert.equal(
      find('Namespace', 'headgate-example')?.metadata.labels?.['pod-security.kubernetes.io/enforce'],
      'restricted',
    )
    for (const { spec } of objects.filter(({ kind }) => kind === 'Deployment')) {
      const [container] = spec.template.spec.containers
      assert.equal(container.image, `headgate:${version}`)
      assert.deepEqual(container.command, ['node', '/app/examples/service/main.js'])
      assert.deepEqual(container.securityContext, {
        allowPrivilegeEscalation: false,
        capabilities: { drop: ['ALL'] },
        readOnlyRootFilesystem: true,
      })
      assert.equal(spec.template.spec.securityContext.runAsNonRoot, true)
    }
  })
})

describe('docs/kind.md', () => {
  const blocks = blocksOf()
  const commands = blocks.flatMap((block) => block.commands)

  it('creates, loads, installs, tries and deletes', () => {
    assert.deepEqual(
      [...new Set(blocks.map(({ section }) => section))],
      ['Create', 'Load the image', 'Install', 'Try', 'Delete'],
    )
  })

  it('has one complete command a line, of programs that it names', () => {
    for (const command of commands) {
      assert.match(command, /^(kind|docker|helm|kubectl|curl) /)
      assert.doesNotMatch(command, /\\$|[|;&<>`]|\$\(/, 'a test runs it without a shell to help')
    }
  })

  it('names files that exist, the image of this version, and the ports of kind-config.yaml', () => {
    for (const path of ['kind-config.yaml', 'manifests/example.yaml', 'helm/headgate'])
      assert.ok(commands.some((command) => command.includes(path)) && existsSync(join(ROOT, path)), path)
    for (const [, tag] of commands.join('\n').matchAll(/headgate:([\d.]+)/g)) assert.equal(tag, version)
    const [mapping] = parse(text('kind-config.yaml')).nodes[0].extraPortMappings
    assert.ok(commands.some((command) => command.includes(`listeners.http.nodePort=${mapping.containerPort}`)))
    for (const command of commands.filter((line) => line.startsWith('curl ')))
      assert.ok(command.includes(`http://echo.localhost:${mapping.hostPort}/`), command)
  })
})

describe('docs/install.md', () => {
  it('puts an image in the place of the one that the manifests name', () => {
    const page = text('docs/install.md')
    for (const file of ['install', 'example'])
      assert.ok(
        page.includes(`sed 's#headgate:${version}#registry.example.com/headgate:${version}#' manifests/${file}.yaml`),
      )
  })
})

describe('the bill of materials', () => {
  it('has every package with licence and digest', () => {
    const { components } = JSON.parse(cycloneDx()) as { components: { name: string; hashes: { content: string }[] }[] }
    assert.ok(components.length > 50)
    for (const { name, hashes } of components) assert.match(hashes[0]!.content, /^[0-9a-f]{128}$/, name)
    assert.ok(components.some(({ name }) => name === 'undici'))
    assert.ok(!components.some(({ name }) => name === 'typescript'))
  })
})
