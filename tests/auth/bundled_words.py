"""What the list that comes with portalsec is made of besides lists of passwords: words, calendar and sentences.

What people write when many characters are asked for, in English and Spanish. A line is a group; order does not matter.
"""

from __future__ import annotations

__all__ = [
    "BELOVED",
    "BRANDS",
    "CALENDAR",
    "PHRASES",
    "PORTAL_WORDS",
    "SEASONS",
    "SHORT_MONTHS",
    "WALKS",
    "split",
]


def split(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# What stands on the pages of portals.
PORTAL_WORDS = split(
    """
    patient patients portal health healthy healthcare clinic hospital doctor doctors
    nurse medical medicine care welcome account records office admin login
    paciente salud clinica medico doctora bienvenido cuenta
    """
)

SEASONS = split("spring summer autumn fall winter primavera verano otoño otono invierno")
CALENDAR = split(
    """
    january february march april may june july august september october november december
    monday tuesday wednesday thursday friday saturday sunday christmas easter halloween birthday
    enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre
    lunes martes miercoles jueves viernes sabado domingo navidad
    """
)
SHORT_MONTHS = split("jan feb mar apr jun jul aug sep sept oct nov dec ene abr ago dic")

# What lists of passwords have too far down, or not at all.
BRANDS = split(
    """
    mychart medicare medicaid covid covid19 coronavirus insurance pharmacy prescription healthy
    mypassword newpassword temppassword testpassword password1 pass passw0rd contraseña contrasena administrator
    liverpoolfc manchester manchesterunited realmadrid fcbarcelona barcelona juventus
    dallascowboys cowboys steelers patriots packers eagles newyorkyankees yankees redsox lakers warriors
    harrypotter hogwarts starwars gameofthrones lordoftherings dragonballz spiderman superman batman
    mickeymouse hellokitty helloworld charliebrown michaeljordan michaeljackson minecraft fortnite pokemon
    facebook instagram youtube google amazon netflix microsoft windows windows10 iphone samsung playstation
    jesuschrist jesus blessed faith heaven america usa texas california florida chicago london newyork newyorkcity
    losangeles sanfrancisco lasvegas unitedstates canada mexico colombia espana
    mommy daddy mamá mama papa grandma grandpa family familia babygirl babyboy kitty kittycat puppy puppylove
    buddy cupcake strawberry butterfly chocolate cheerleader basketball volleyball softball soccer futbol
    fordmustang chevycamaro harleydavidson motherfucker fuckthis fuckyou whatthefuck corazon estrella estrellita
    summertime wintertime springtime sunshine mysunshine rainbow prettyprincess princess
    w3lcome w3lc0me p4ssword p455word l3tmein christmastree goldenretriever germanshepherd flowerpower bluesky blackcat
    blackandwhite redroses diabetes bluecross kaiser volleyball mamacita angelito princesa hola familiaunida
    temporary temp login test trump trump2024 maga maga2024 manchesterutd chelseafc bubblegum buttercup aabbccddee
    mypassw0rd jenniferlopez happybirthday nurses qwer1234 asdf1234
    temporary login internet computer security secret supersecret topsecret
    """
)

# Who and what people say they love.
BELOVED = split(
    """
    you me my mom dad mommy daddy mum mama papa baby babe honey family kids children son sons daughter daughters wife
    husband boyfriend girlfriend dog dogs cat cats puppy kitty grandma grandpa grandkids grandchildren sister brother
    jesus god life music chocolate pizza coffee food football soccer baseball basketball summer winter school
    money cheese icecream horses mike john david chris james jessica sarah
    """
)

# Runs of keys that are typed before, after and beside digits.
WALKS = split(
    """
    qwerty qwert qwer qwe qwertyu qwertyui qwertyuio qwertyuiop qwertyuiop[] qwertyuiop[]\\ asdf asdfg asdfgh asdfghj
    asdfghjk asdfghjkl asdfghjkl; asd zxc zxcv zxcvb zxcvbn zxcvbnm zxcvbnm,./ qaz qazwsx qazwsxedc qweasd qweasdzxc
    1qaz 1qaz2wsx 1qaz2wsx3edc 2wsx zaq1 zaq12wsx 1q2w3e 1q2w3e4r 1q2w3e4r5t 1qazxsw2 !qaz !qaz2wsx !qaz@wsx
    !qaz1qaz 1qaz!qaz !qaz2wsx#edc 1qaz@wsx3edc @wsx2wsx #edc3edc
    qwertz azerty abc abcd abcde abcdef abcdefg abcdefgh abcdefghi abcdefghij aaa aaaa xxx xyz a1b2c3 a1b2c3d4
    123 1234 12345 123456 1234567 12345678 123456789 1234567890 111 1111 111111 000 0000 987654321 0987654321 654321
    321 4321 54321 aabbcc aabbccdd poiuytrewq lkjhgfdsa mnbvcxz
    """
)

PHRASES = tuple(
    line.strip()
    for line in """
    correct horse battery staple
    correct horse battery
    let me in
    let me in please
    please let me in
    let me in now
    let me in right now
    let me in again
    let me in to the system
    let me in to my account
    let me into my account
    let me in let me in
    just let me in
    open sesame
    open the door
    open up
    i love you
    i love you so much
    i love you very much
    i love you too
    i love you more
    i love you most
    i love you forever
    i love you always
    i love you forever and ever
    i love you to the moon
    i love you to the moon and back
    i love you with all my heart
    i love you baby
    i love you babe
    i love you mom
    i love you mom and dad
    i love you dad
    i love you jesus
    i love my mom and dad
    i love my family so much
    i love my dog and my cat
    i love my life
    i love jesus christ
    i love to eat
    i love to eat chocolate
    i like turtles
    i love ice cream
    i love my husband
    i love my wife
    i love my children
    i miss you
    i hate you
    i hate this
    i hate passwords
    i hate my password
    i hate long passwords
    i hate changing passwords
    i hate computers
    i hate my job
    i hate my life
    i need a new password
    i need a password
    i dont know
    i dont care
    i dont remember
    i cant remember
    i cant remember my password
    i forgot
    i forgot my password
    i forgot it again
    i always forget
    i always forget my password
    i always forget my passwords
    i am the best
    i am awesome
    i am a doctor
    i am a patient
    i am happy
    i can do all things
    i can do it
    i will survive
    i want to go home
    i want it that way
    i believe in god
    my password
    my new password
    my old password
    my secret password
    my super secret password
    my secure password
    my strong password
    my long password
    my best password
    my health password
    my portal password
    my account password
    my email password
    my computer password
    my chart password
    my password is
    my password is password
    my password is my password
    my password is secret
    this is my password
    this is my new password
    this is my secret password
    this is my secure password
    this is my long password
    this is not my password
    this is a password
    this is a long password
    this is a very long password
    this is a really long password
    this is a secure password
    this is a strong password
    this is a good password
    this is a new password
    this is a secret
    this is a test
    this is the password
    this is password
    this is secret
    this is stupid
    this is ridiculous
    this is annoying
    this is too long
    this sucks
    this is sparta
    a very long password
    a really long password
    a long password
    a secure password
    a strong password
    long password
    very long password
    really long password
    very secure password
    super secret password
    super secure password
    top secret password
    secret password
    strong password
    secure password
    new password
    old password
    good password
    best password
    stupid password
    fuck this password
    fuck this password shit
    fuck passwords
    fuck this shit
    fuck you
    fuck off
    what the fuck
    what the fuck is this
    what the hell
    what is password
    what is my password
    what is the password
    what password
    the password is password
    the password is
    password is password
    not a password
    not my password
    no password
    no password needed
    no more passwords
    not another password
    yet another password
    another password
    change me
    change me please
    change me now
    change this password
    change it now
    reset my password
    forgot my password
    forgot password
    temp password
    temporary password
    test password
    default password
    remember me
    remember this
    remember this password
    remember my password
    dont forget
    dont forget this
    dont forget this again
    dont forget me
    do not forget
    do not forget this
    dont tell anyone
    keep out
    keep it simple
    keep it simple stupid
    keep calm and carry on
    my patient portal
    my health portal
    my health
    my health records
    my medical records
    my doctor
    my doctors office
    my hospital
    my clinic
    my account
    my chart
    my medicine
    my health chart
    my health account
    my medical account
    my dogs name
    my cats name
    my birthday
    my beautiful baby
    my sweet baby
    my little princess
    my little pony
    my best friend
    my sunshine
    my world
    my everything
    my babies
    patient portal password
    health portal password
    portal password
    patient password
    stay healthy
    stay safe
    healthy living
    health is wealth
    an apple a day
    get well soon
    welcome to the portal
    welcome to my portal
    welcome to the patient portal
    welcome to the clinic
    welcome to the hospital
    welcome to the club
    welcome to the jungle
    welcome to the party
    welcome to the world
    welcome to the machine
    welcome to the team
    welcome to my home
    welcome to my house
    welcome to my life
    welcome to my world
    welcome to hell
    welcome to the dark side
    welcome to the matrix
    welcome to america
    welcome to our home
    welcome home
    welcome back
    welcome all
    welcome everyone
    the quick brown fox
    the quick brown fox jumps
    the quick brown fox jumps over the lazy dog
    to be or not to be
    to be or not to be that is the question
    to infinity and beyond
    once upon a time
    may the force be with you
    may the force
    may the 4th be with you
    may the fourth be with you
    the force is strong
    i am your father
    use the force luke
    winter is coming
    harry potter
    lord of the rings
    game of thrones
    master of puppets
    stairway to heaven
    hotel california
    sweet home alabama
    dont stop believing
    dont worry be happy
    we are the champions
    we will rock you
    bohemian rhapsody
    let it be
    let it go
    let it snow
    all you need is love
    another brick in the wall
    highway to hell
    sweet caroline
    you are my sunshine
    you are my only sunshine
    you are my everything
    you are the best
    you are beautiful
    you only live once
    youll never walk alone
    never walk alone
    in the beginning
    hello my name is
    my name is
    hello world
    hello kitty
    hello there
    hello hello
    hello everyone
    mary had a little lamb
    twinkle twinkle little star
    row row row your boat
    humpty dumpty
    jingle bells
    happy birthday
    happy birthday to you
    happy birthday to me
    happy new year
    happy family
    happy days
    happy halloween
    happy easter
    happy wife happy life
    merry christmas
    merry christmas and happy new year
    trick or treat
    live laugh love
    peace love happiness
    faith hope love
    love is all you need
    love is love
    love you
    love you mom
    love you forever
    love you more
    love me
    love my life
    love my family
    eat pray love
    hakuna matata
    carpe diem
    be happy
    be the best
    be yourself
    follow your dreams
    dream big
    rock and roll
    rock and roll forever
    there is no place like home
    theres no place like home
    somewhere over the rainbow
    live love laugh
    summer vacation
    christmas tree
    merry christmas to all
    i hate mondays
    i hate winter
    i hate math
    i hate school
    i love texas
    i love cats
    i love dogs
    i love tacos
    i love wine
    i love beer
    my dog is the best
    my dog is the best dog
    my cat is the best
    my daughter
    my son
    my kids
    my grandkids
    my grandchildren
    my family
    my husband
    my wife
    my dog
    my cat
    my car
    my house
    my home
    one two three four five six
    te amo mama
    te amo papa
    dios esta conmigo
    mi hijo
    mi hija
    mis hijos
    mi mama
    mi casa
    mi casa es su casa
    password welcome
    welcome password
    dream big dream big
    just do it
    never give up
    never say never
    never forget
    one day at a time
    life is good
    life is beautiful
    life is short
    good morning
    good night
    good luck
    god is good
    god is good all the time
    god is great
    god is love
    god is my savior
    god first
    god bless
    god bless me
    god bless you
    god bless us
    god bless america
    god loves me
    god loves you
    in god we trust
    trust in god
    trust no one
    praise god
    praise the lord
    thank you
    thank you god
    thank you jesus
    thank you lord
    thank god
    jesus is lord
    jesus is king
    jesus is my lord
    jesus is my savior
    jesus is my king
    jesus is the way
    jesus is love
    jesus loves me
    jesus loves you
    jesus loves us
    jesus saves
    jesus christ
    jesus christ is lord
    jesus christ is my lord
    jesus christ super star
    the lord is my shepherd
    the lord is good
    amazing grace
    holy spirit
    glory to god
    family first
    family is everything
    blessed and highly favored
    too blessed to be stressed
    blessed beyond measure
    blessed beyond
    so blessed
    make america great again
    america first
    united states
    united states of america
    united kingdom
    land of the free
    home of the brave
    lets go brandon
    go cowboys
    go steelers
    go packers
    go eagles
    go yankees
    go lakers
    go team
    go blue
    go big or go home
    roll tide
    football is life
    football is my life
    baseball is life
    soccer is life
    basketball is life
    pittsburgh steelers
    new england patriots
    green bay packers
    new york giants
    new york yankees
    new york city
    dallas cowboys
    manchester united
    manchester city
    real madrid
    los angeles
    los angeles lakers
    las vegas
    san francisco
    mickey and minnie
    mickey and minnie mouse
    mickey mouse
    minnie mouse
    batman and robin
    tom and jerry
    peanut butter
    peanut butter and jelly
    ice cream
    ham and cheese
    beam me up scotty
    live long and prosper
    abra cadabra
    knock knock
    who are you
    how are you
    what is your name
    where are you
    come on
    oh my god
    no way
    yes we can
    one two three
    one two three four
    one two three four five
    a b c d e f g
    mommy and daddy
    mom and dad
    me and you
    you and me
    him and her
    best friends forever
    forever and always
    forever young
    monday tuesday wednesday
    january february march
    spring summer fall winter
    spring summer autumn winter
    summer winter
    te quiero
    te quiero mucho
    te quiero mucho mucho
    te amo
    te amo mucho
    te amo mi amor
    te amo mi vida
    te amo mucho mi amor
    te amo mama
    te amo mamacita
    te amo mami
    te extraño mucho
    mi amor
    mi vida
    mi corazon
    mi familia
    mi princesa
    mi reina
    mi contraseña
    mi contrasena
    mi nueva contraseña
    mi contraseña es
    mi contraseña es segura
    mi clave
    esta es mi contraseña
    esta es mi contrasena
    esta es mi clave
    esta es una contraseña
    no me acuerdo
    no se
    no olvidar
    olvide mi contraseña
    nueva contraseña
    amo a mi familia
    amo mi familia
    amo a jesus
    amo a dios
    mi familia es todo
    dios es amor
    dios es bueno
    dios es grande
    dios es fiel
    dios es mi pastor
    dios es mi fuerza
    dios te ama
    dios te bendiga
    dios conmigo
    gracias a dios
    gracias dios
    jesus te ama
    jesus es mi pastor
    cristo te ama
    cristo vive
    jehova es mi pastor
    jehova es mi fuerza
    virgen de guadalupe
    viva mexico
    viva mexico cabrones
    viva españa
    viva la vida
    arriba mexico
    feliz navidad
    feliz cumpleaños
    feliz año nuevo
    hola mundo
    hola amigo
    hola hola
    buenos dias
    bienvenidos
    bienvenido a casa
    bienvenido al portal
    portal del paciente
    mi portal
    mi salud
    abre la puerta
    abrete sesamo
    dejame entrar
    """.strip().splitlines()
)
