/**
 * The cluster tests: `node e2e/run.ts` starts a cluster on this machine, builds the images, runs the tests and removes
 * the cluster; with KUBECONFIG set, it only runs the tests on that cluster. See docs/e2e.md.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type ClusterLayout, layoutOf, networkOf } from './cluster/cluster-layout.ts'
import { down } from './cluster/down.ts'
import { guard } from './cluster/guard.ts'
import { HEADGATE_IMAGE, headgateImage, importImage, REDIS_IMAGE, redisImage } from './cluster/images.ts'
import { isRunning } from './cluster/processes.ts'
import { cacheFolder, programsFolder, provideDebian, providePrograms } from './cluster/programs.ts'
import { step } from './cluster/steps.ts'
import { up } from './cluster/up.ts'

const USAGE = `node e2e/run.ts [--state FOLDER] [COMMAND]

  test [WORD …]     run the tests whose file name holds one of the words; the default. On the cluster that KUBECONFIG
                    names, or on the one that is up, or on one of its own that is taken away afterwards
  up                bring a cluster up and let it run
  image             build Headgate's image and load it into the cluster that is up
  down              take it away
  kubectl … helm …  in the cluster that is up
  shell             the same, on the PATH of a shell

--state is where everything of a cluster lies; with different ones, several run side by side.
`

const TESTS = fileURLToPath(new URL('lib/run-tests.ts', import.meta.url))

const args = process.argv.slice(2)
const named = args[0] === '--state' ? resolve(args.splice(0, 2)[1] ?? '.') : process.env.HEADGATE_E2E_STATE
const layout = layoutOf(named ?? join(cacheFolder(), 'cluster'))
const [command = 'test', ...rest] = args
process.exitCode = await main()

async function main(): Promise<number> {
  switch (command) {
    case 'up':
      await up(layout)
      await loadImage(layout)
      console.log('it is up: node e2e/run.ts shell')
      return 0
    case 'image':
      await loadImage(layout)
      return 0
    case 'down':
      await step('take the cluster away', 30, () => down(layout))
      return 0
    case 'kubectl':
    case 'helm':
      return await endOf(inside(layout, [join(programsFolder(), 'bin', command), ...rest]))
    case 'shell':
      return await endOf(inside(layout, [process.env.SHELL ?? 'bash', ...rest]))
    case 'test':
      if (process.env.KUBECONFIG !== undefined && named === undefined)
        return await endOf(spawn(process.execPath, [TESTS, ...rest], { stdio: 'inherit' }))
      // A network alone is what a machine's restart, or a kill of everything, leaves behind.
      if (networkOf(layout) !== undefined && isRunning(layout, 'apiserver')) return await test(layout)
      return await testOnNewCluster()
    default:
      console.log(USAGE)
      return command === 'help' || command === '--help' ? 0 : 2
  }
}

async function testOnNewCluster(): Promise<number> {
  const temporary = layoutOf(named ?? join(cacheFolder(), `run-${process.pid}`))
  await provideDebian()
  await providePrograms()
  const protection = guard(temporary)
  let end: 'take away' | 'take away, keep the logs' = 'take away'
  // What is running is waited for in vain: the guard ends all of it.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(signal, () => void protection.end('take away').finally(() => process.exit(130)))
  try {
    await up(temporary)
    await loadImage(temporary)
    const code = await test(temporary)
    if (code !== 0) end = 'take away, keep the logs'
    return code
  } catch (error) {
    end = 'take away, keep the logs'
    throw error
  } finally {
    await protection.end(end)
    if (end !== 'take away') console.log(`logs of the cluster: ${temporary.logs}`)
  }
}

async function loadImage(where: ClusterLayout): Promise<void> {
  const archive = await headgateImage()
  // By hand, one cluster sees many images of one name; pods are replaced when this differs.
  writeFileSync(join(where.state, 'image'), basename(archive, '.tar'))
  await step(`load ${HEADGATE_IMAGE}`, 30, () => importImage(where, archive))
  const redis = await redisImage()
  await step(`load ${REDIS_IMAGE}`, 30, () => importImage(where, redis))
}

function test(where: ClusterLayout): Promise<number> {
  return endOf(inside(where, [process.execPath, TESTS, ...rest]))
}

/** A program in the cluster's network, with its kubectl and helm. */
function inside(where: ClusterLayout, program: readonly string[]): ChildProcess {
  if (networkOf(where) === undefined) throw new Error('no cluster is up here: node e2e/run.ts up')
  const env = {
    ...process.env,
    HEADGATE_E2E_STATE: where.state,
    KUBECONFIG: where.kubeconfig,
    PATH: `${join(programsFolder(), 'bin')}:${process.env.PATH}`,
  }
  return spawn('nsenter', [...where.enter, ...program], { stdio: 'inherit', env })
}

function endOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve(code ?? 1))
  })
}
