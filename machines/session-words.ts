/** The words of session names: 128 of each, none twice, none that a person could mind. Their order is part of every journal: never change it. */

export const firstAdjectives: readonly string[] = (
  "able agile alert ample amber apt arctic ardent artful autumn avid azure balmy blithe bold bonny brave breezy bright " +
  "brisk calm candid casual cheery chipper civil clean clear clever coastal cordial cosmic cosy crisp curious dainty daring " +
  "dapper dawning deft eager early earnest easy elated epic even exact fabled fair fancy fearless festive fine fleet fluent " +
  "fond frank free fresh frosty gallant gentle genial gifted glad gleaming golden good graceful grand great handy happy " +
  "hardy hearty helpful honest hopeful humble ideal jaunty jolly jovial joyful jubilant just keen kind lasting lively loyal " +
  "lucid lucky lunar magic mellow merry mighty mild mindful modest neat nimble noble novel open patient peaceful plucky " +
  "polite prime proud prudent quick quiet radiant ready robust rosy sage serene sincere smart sunlit tender thrifty upbeat"
).split(" ");

export const secondAdjectives: readonly string[] = (
  "airy amiable ancient animated apricot aquatic attentive awake balanced beaming blooming blue boreal bouncy bronze " +
  "buoyant carmine celestial cerulean charming cobalt copper coral crimson crystal dazzling dewy diligent dynamic earthy " +
  "eclectic electric elegant emerald endless ethereal fiery floral flowing flying forest gilded glowing granite green hazel " +
  "heroic hidden indigo inventive ivory jade joyous kinetic lavender leafy lilac limber lofty luminous lush magnetic " +
  "majestic maple marine meadow melodic misty moonlit mossy musical mystic nautical northern oaken ocean olive opal orange " +
  "orchid pastel pearly perky placid playful polar polished prismatic purple quaint quirky rapid regal resolute rising " +
  "roaming rolling ruby rustic sapphire satin scarlet shining silent silken silver sleek smiling snowy soaring solar sonic " +
  "sparkling spirited splendid spry starry steady sterling stellar sunny swift tidal tranquil velvet verdant vibrant vivid"
).split(" ");

export const scientists: readonly string[] = (
  "abel alfven ampere anning archimedes avogadro babbage banach bardeen bell bernoulli bohr boltzmann boole born bose boyle " +
  "brahe cannon cantor carson cauchy cavendish cerf chandra church clausius copernicus coulomb crick curie dalton darwin " +
  "davy descartes dijkstra dirac doppler earhart eddington edison ehrlich einstein elion erdos euclid euler faraday fermat " +
  "fermi feynman fibonacci fleming fourier franklin galileo galois galton gauss gibbs goeppert goodall godel grothendieck " +
  "haber hahn halley hamilton harvey hawking heisenberg helmholtz hertz herschel hilbert hodgkin hooke hopper hubble " +
  "huygens hypatia jemison jenner joule kepler khorana kirchhoff knuth kovalevskaya lagrange lamarr laplace lavoisier " +
  "leavitt leibniz linnaeus lovelace maxwell mayer mcclintock meitner mendel mendeleev mirzakhani morse napier neumann " +
  "newton nightingale nobel noether ohm oppenheimer pascal pasteur pauli planck poincare ramanujan ride riemann rutherford " +
  "sagan shannon torricelli turing tycho volta"
).split(" ");
