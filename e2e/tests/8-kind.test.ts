/**
 * docs/kind.md, command by command. What stands for kind here is the cluster at hand: a context of that name, an image
 * that is there already, and a port of this machine that leads to the node's.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type Server } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { blocksOf } from '../../test/chart/kind-page.ts'
import { figure } from '../lib/figures.ts'
import { ask, SYSTEM, uninstall } from '../lib/headgate.ts'
import { kubectl } from '../lib/kubernetes.ts'
import { IMAGE } from '../lib/pods.ts'
import { openShell, type Shell } from '../lib/shell.ts'
import { until } from '../lib/wait.ts'

const PORT = 8080
const NODE_PORT = 30080
const WHAT_IS_SHOWN = 'headgate:0.1.0'

const SHIMS = {
  kind: `case "$*" in
    'create cluster --config kind-config.yaml --wait 2m')
      test -f kind-config.yaml
      kubectl config rename-context "$(kubectl config current-context)" kind-headgate ;;
    'load docker-image ${WHAT_IS_SHOWN} --name headgate') ;;
    'delete cluster --name headgate') ;;
    *) echo "kind $*: the test does not know this" >&2; exit 1 ;;
  esac`,
  docker: `test "$*" = 'build --tag ${WHAT_IS_SHOWN} .' && test -f Dockerfile`,
}

let shell: Shell
let relay: Server | undefined

async function clear(): Promise<void> {
  await uninstall()
  const gone = ['--ignore-not-found', '--wait']
  await kubectl('delete', 'namespace', SYSTEM, 'headgate-example', ...gone)
  await kubectl('delete', 'crd', 'routes.headgate.dev', 'backends.headgate.dev', ...gone)
}

describe('docs/kind.md', { skip: !IMAGE.endsWith(WHAT_IS_SHOWN) && `shows ${WHAT_IS_SHOWN}, not ${IMAGE}` }, () => {
  before(async () => {
    await clear()
    shell = await openShell(SHIMS)
    relay = await portOfTheNode()
  })

  after(async () => {
    relay?.close()
    shell?.close()
    await clear()
  })

  const started = performance.now()
  for (const { section, commands } of blocksOf()) {
    const restarts = commands.some((command) => command.includes('rollout restart'))
    it(`${section}: ${commands[0]!.split(' --')[0]}${restarts ? ', and no request fails' : ''}`, async () => {
      const asking = restarts ? keepAsking() : undefined
      let asked: Awaited<ReturnType<Asking['stop']>> | undefined
      try {
        for (const command of commands) await shell.run(command)
      } finally {
        asked = await asking?.stop()
      }
      if (asked === undefined) return
      const { answers, failures } = asked
      figure('docs/kind.md, pods replaced: requests, failed', `${answers}, ${failures.length}`, '0 failed')
      assert.deepEqual(failures, [])
    })
  }

  it('leaves nothing behind', async () => {
    figure('docs/kind.md, all commands', `${((performance.now() - started) / 1000).toFixed(0)} s`)
    // Pods that were replaced end in their own time.
    await until('nothing is left', async () => {
      const left = await kubectl('get', 'all,crd', '-A', '-o', 'name')
      if (/headgate|echo/.test(left)) throw new Error(left)
      return true
    })
  })
})

/** What `extraPortMappings` of kind do. Nothing where the port is taken, by kind itself that is. */
async function portOfTheNode(): Promise<Server | undefined> {
  const path = 'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}'
  // One of each family.
  const [host] = (await kubectl('get', 'nodes', '-o', path)).split(' ')
  const server = createServer((client) => {
    const node = connect(NODE_PORT, host)
    for (const [from, to] of [
      [client, node],
      [node, client],
    ] as const) {
      from.pipe(to)
      from.on('error', () => to.destroy())
      from.on('close', () => to.destroy())
    }
  })
  server.listen(PORT, '127.0.0.1')
  try {
    await once(server, 'listening')
    return server
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return undefined
    throw error
  }
}

interface Asking {
  stop(): Promise<{ readonly answers: number; readonly failures: readonly string[] }>
}

/** Each on a connection of its own, as curl asks. */
function keepAsking(): Asking {
  const failures: string[] = []
  let answers = 0
  let going = true
  const done = (async () => {
    for (; going; await sleep(20)) {
      try {
        const { status, body } = await ask(`127.0.0.1:${PORT}`, '/', { host: 'echo.localhost' })
        answers++
        if (status !== 200) failures.push(`${status} ${body.slice(0, 200)}`)
      } catch (error) {
        failures.push(String(error))
      }
    }
  })()
  return {
    async stop() {
      going = false
      await done
      return { answers, failures }
    },
  }
}
