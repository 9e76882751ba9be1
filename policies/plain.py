"""Common English words: a capital in the middle of a sentence makes no name of them.

A table only, written by hand from general knowledge: words of grammar, then what everyday
questions are about. Words that are as often a name (`mark`, `bill`, `apple`) are left out.
"""

from __future__ import annotations

_GRAMMAR = """
a an the this that these those i me my mine myself you your yours yourself he him his himself she
her hers herself it its itself we us our ours ourselves they them their theirs themselves one ones
who whom whose which what when where why how whatever whenever wherever whichever whoever somebody
someone something somewhere somehow anybody anyone anything anywhere anyhow anyway everybody
everyone everything everywhere nobody none nothing nowhere and or but nor so yet for because
although though unless until while whereas whether if than as since of in on at to from by with
without within into onto upon over under above below between among across through during before
after behind beside besides beyond against along around about near off out up down toward towards
inside outside despite except per via like unlike be am is are was were been being do does did done
doing have has had having can could will would shall should may might must ought not no yes all any
both each either every few less least many more most much neither other others another own same
several some such enough only just also too very quite rather almost nearly hardly even still
already again ever never always often sometimes usually rarely seldom soon later now then here
there today tomorrow yesterday tonight ago once twice perhaps maybe probably really actually
basically especially exactly generally mostly mainly instead together apart alone away back forward
else therefore thus hence however moreover otherwise meanwhile indeed please thanks ok okay hello
dear sorry
"""
_VERBS = """
accept achieve act add admit adopt advise affect afford agree aim allow annoy answer apologize
appear apply approach argue arrange arrive ask assist assume attach attack attempt attend attract
avoid bake bear beat become begin believe belong bend bet bite bleed blow boil book borrow bother
break breathe breed bring build burn buy calculate call calm cancel care carry catch cause
celebrate change charge chase chat check choose claim clean clear click climb close collect combine
come comment commit communicate compare compete complain complete compose concentrate confirm
connect consider consist contact contain continue control convert convince cook cope copy correct
cost count cover crack create cross cry cut dance deal decide declare decline decrease define delay
delete deliver demand deny depend describe deserve design destroy determine develop die differ
disable disagree disappear discover discuss divide download draw dream dress drink drive drop dry
earn eat edit enable encourage end enjoy enter escape establish evaluate evolve examine exchange
exercise exist exit expand expect experience explain explore export express extend extract face
fail fall feed feel fight figure file fill filter find finish fit fix flow fly focus fold follow
force forget forgive form format freeze gain gather generate get give glow go grow guess guide
handle hang happen hate heal hear heat help hide hit hold hope hurt hurry identify ignore imagine
implement import impress improve include increase indicate influence inform insert inspire install
intend interact introduce invent invest invite involve join judge jump keep kick kill kiss knock
know lack land last laugh launch lay lead learn leave lend let lie lift limit link list listen live
load lock log look lose love lower maintain make manage match matter mean measure meet melt mention
merge mind mix move multiply need negotiate notice obtain occur offer open operate order organize
overcome pack paint park participate pass paste pay perform pick plan plant play point possess post
practice pray prefer prepare present press prevent print proceed process produce promise promote
pronounce propose protect prove provide publish pull purchase push put quit raise reach read
realize receive recommend record recover reduce refer reflect refuse register reject relate relax
release rely remain remember remind remove rent repair repeat replace reply report represent
request require reset resist resolve respond rest restore result return reveal review ride ring
rise run sail save say scan scare schedule score scream search see seek seem select sell send
separate serve set settle shake shape share shift shine shoot shout show shut sing sink sit sleep
smell smile smoke solve sort sound speak spell spend spread stand start state stay steal step stick
stop store stretch strike struggle study succeed suffer suggest suit supply support suppose
surround survive suspect swim switch take talk taste teach tear tell tend test text thank think
throw tie touch train transfer translate travel treat trust try turn type understand unlock update
upgrade upload use verify visit vote wait wake walk wander want warn wash waste watch wear weigh
win wish wonder work worry worth wrap write
"""
_THINGS = """
ability access accident account action activity actor actress addition address adult advantage
advertisement advice age agency agent aircraft airline airplane airport album alcohol algorithm
alien allergy amount analysis analyst anger angle animal answer anxiety apartment app appearance
application appointment area argument arm army art article artist aspect assignment assistant
atmosphere atom attention attitude audience author average award baby background bag balance ball
band bank bar base basis basket bath bathroom battery battle beach beard beauty bed bedroom beer
beginner behavior behaviour belief benefit bicycle bike bird birth birthday block blog blood board
boat body bone book boss bottle bottom bowl box boy boyfriend brain branch brand bread breakfast
breath bridge brother brush budget bug building bus business businessman butter button cake
calculator calendar calorie camera camp cancer candidate candle candy capital car card career cash
cat category ceiling celebrity cell center centre century certificate chain chair challenge chance
channel chapter character cheese chemical chemist chemistry chicken child childhood chocolate
choice church cigarette cinema circle citizen citizenship city class classroom client climate clock
cloth clothes cloud club coach coat code coffee coin cold collection college color colour column
comedy comfort command comment communication community company comparison competition complaint
component computer concept concern condition conference confidence conflict connection consequence
constitution construction container content context contract contrast conversation cookie corner
cost council country couple courage course court cousin cow cream creature credit crew crime crisis
criticism crowd culture cup cure currency current curve customer cycle damage danger dark data
database date daughter day deal death debate debt decade decision deck deep defense definition
degree dentist department depression depth desert design desk detail developer device diabetes
dictionary diet difference difficulty dinner direction director disadvantage discipline discount
discussion disease dish disk disorder display distance divorce doctor document dog dollar domain
door dose doubt drama drawing dream drink driver drug duty ear earth earthquake economy edge
edition editor education effect efficiency effort egg election electricity electron element email
emotion empire employee employer employment energy engine engineer engineering enemy entertainment
entrance entrepreneur environment equation equipment error essay estate event evidence evolution
exam example exception excuse exercise expense expert explanation expression extension eye fact
factor factory failure faith family fan farm farmer fashion fat father fault favor favorite
favourite fear feature feedback feeling female fever fiction field film finance finger fire fish
fitness flag flight floor flower food foot football foreign forest fork formula fraction frame
freedom friend friendship fruit fuel function fund funeral furniture future galaxy game garage
garden gas gate gender generation genius ghost gift girl girlfriend glass goal god gold government
governor grade grammar grandfather grandmother grass gravity ground group growth guest guitar gun
guy gym habit hair half hall hand happiness hardware hat head headache health heart heaven height
hell hero highway hill history hobby hole holiday home homework honor honour horse hospital hotel
hour house human humor hunger husband ice idea identity illness image impact importance impression
income industry inflation information ingredient injury ink input insect insurance intelligence
interest internet internship interview introduction invention investment invitation island issue
item jacket job joke journalist journey judge juice key keyboard kid kidney king kitchen knee knife
knowledge lady lake lamp language layman laptop law lawyer layer leader leadership leaf league
lecture leg lesson letter level library licence license life lifestyle light limit line lip liquid
literature loan location logic loss lottery luck lunch lung machine magazine magic mail majority
male mall man management manager manner map marker market marketing marriage mass master material
math mathematics maths matrix meal meaning measurement meat media medicine medium member memory
message metal method metre middle military milk mind mineral minister minority minute mirror
mission mistake mixture mobile mode model modem moment money monitor monkey month mood moon morning
mother motion motivation motor mountain mouse mouth movement movie muscle museum music musician
name nation nature navy neck neighbor neighbour nerve network news newspaper night noise noodle
nose note notebook notice novel number nurse object occasion occupation ocean office officer oil
onion operation opinion opportunity option orange order organ organization origin outcome output
oven owner oxygen package page pain paint painting pair pan paper paragraph parent part particle
partner party passenger passion passport password past path patient pattern payment peace pen
pencil people percent percentage period permission person personality pet phase philosophy phone
photo photographer phrase physics physician piano picture piece pill pilot pizza place plan plane
planet plant plastic plate platform player pleasure plot pocket poem poet poetry police policeman
policy politician politics pollution pool population position possibility potato pound poverty
power prayer preparation presentation president pressure price prime principle printer priority
prison privacy prize problem procedure product profession professional professor profile profit
program programme programmer programming progress project property proposal protein protocol
province psychologist psychology public punishment purpose quality quantity queen question queue
quote race radiation radio rain range rank rate ratio ray reaction reader reality reason receipt
recipe record region relation relationship relief religion report republic reputation research
researcher resource response restaurant resume revenue revolution reward rice rifle ring risk river
road robot rock role roof room root rope route routine rule safety salad salary sale salt sand
sandwich satellite scale scene school science scientist score screen sea season seat second secret
secretary section sector security seed semester senate sense sentence series servant server service
session sex shadow shirt shoe shop shopping shower side sign signal signature silver singer sister
site situation size skill skin sky smartphone snow soap society software soil soldier solution son
song soul sound soup source space speaker species speech speed spirit sport spouse staff stage star
startup statement station status steel stock stomach stone storage storm story strategy street
strength stress structure student style subject substance success sugar suicide sun supermarket
surface surgery survey symbol symptom system table tablet tail talent tank target task tax taxi tea
teacher team technique technology teenager telephone television temperature term territory test
thanks theater theatre theory therapy thing thought throat ticket time tip tire title tool tooth
top topic tour tourist town toy track trade tradition traffic training transport trash tree trend
trial trick trip trouble truck truth tutorial twin uncle unit universe university user vacation
vaccine value variable variety vegetable vehicle version victim video view village virus vision
visa visitor vitamin voice volume voter war warning water wave way weakness wealth weapon weather
web webpage website wedding week weekend weight wheel wife wind window wine winner winter wire
wisdom woman wood word worker workout workplace world writer year youth zone
"""
_QUALITIES = """
able absolute abstract academic according accurate active actual addicted advanced afraid
aggressive alive amazing ancient angry animated annual annoying anonymous asleep attractive
automatic available aware awesome awful awkward bad basic beautiful best better big biggest bitter
black blind blue boring brave brief bright broken brown busy careful central certain cheap cheapest
chief classic clean clear clever close cold comfortable common complete complex confident confused
conscious constant cool correct crazy creative creepy critical cruel cultural curious current daily
dangerous dark dead deaf decent deep delicious dependent depressed different difficult digital
direct dirty double dry dumb dynamic early easiest easy economic educational effective efficient
electric electrical electronic embarrassing emotional empty entire environmental equal essential
eternal ethical evil exact excellent exciting expensive external extra extreme fair fake false
famous fast fastest federal fellow final financial fine first flat foreign formal former free
frequent fresh friendly full funny general gentle genuine giant global good gray great greatest
green grey guilty handsome happy hard healthy heavy helpful hidden high higher highest historical
honest hot huge hungry ideal illegal immediate important impossible independent individual indoor
infinite initial innocent intelligent interested interesting internal international jealous junior
known large largest late latest lazy leading left legal likely linear little local logical lonely
long lost loud low lowest lucky mad main major male married massive maximum mechanical medical
mental mere military minimum minor missing modern moral multiple mutual narrow national native
natural necessary negative nervous new next nice normal nuclear obvious odd official old oldest
online open opposite optional oral ordinary organic original outdoor overall particular perfect
permanent personal physical pink plain poor popular positive possible potential powerful practical
pregnant previous primary private productive profitable proper proud pure quick quiet random rapid
rare raw ready real realistic recent red regular related relative relevant reliable religious rich
right romantic rough round rude sad safe scary scientific secondary secure senior sensitive serious
sexual sharp short shy sick significant silent silly similar simple single slow small smart smooth
social soft solar solid special specific stable standard steady straight strange strict strong
stupid successful sudden sufficient suitable super sure sweet tall technical temporary terrible
thick thin tight tiny tired top total tough toxic traditional transparent tropical true typical
ugly ultimate unable unhappy unique universal unknown unusual upset urban useful useless usual
vague valid vertical violent virtual visible visual vital warm weak wealthy weird well western wet
white whole wide wild willing wireless wise wooden wrong yellow young younger youngest
"""
PLAIN = frozenset(f"{_GRAMMAR} {_VERBS} {_THINGS} {_QUALITIES}".split())
